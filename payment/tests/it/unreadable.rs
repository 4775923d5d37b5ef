//! A row that cannot be read stands in nobody's way.

use sea_orm::ConnectionTrait as _;
use shared_events::EventBody;

use crate::{harness::System, orders::Order, scripted::Point};

#[tokio::test]
async fn a_damaged_payment_delays_no_void_and_hides_no_other_payment() {
    let mut system = System::start().await;
    let orders = [1, 2].map(|number| Order::of(number, "20"));
    for order in &orders {
        system.tell(&order.reserved()).await;
        assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    }
    system.gateway.hold(Point::BeforeVoid);
    for (order, reached) in orders.iter().zip(1..) {
        system.tell(&order.cancel()).await;
        system.gateway.reached(Point::BeforeVoid, reached).await;
    }
    // What was asked is lost with the process, so that the clock has to find both; the first is damaged.
    let database = system.another_writer().await;
    let damage = async |sql: &str| {
        let transaction = database.begin().await.unwrap();
        transaction.execute_unprepared(sql).await.unwrap();
        transaction.commit().await.unwrap();
    };
    damage("UPDATE payments SET currency = 'XXX' WHERE order_id = 1").await;
    system.gateway.fail(Point::BeforeVoid, 2);
    system.gateway.release(Point::BeforeVoid);
    system.becomes(orders[1].saga_id, "VOIDED").await;

    let (status, list) = system.get("/api/v1/payments/").await;
    assert_eq!((status, list.as_array().unwrap().len()), (200, 1), "{list}");
    assert_eq!((system.get("/api/v1/payments/1").await.0, system.get("/api/v1/payments/2").await.0), (500, 200));
    damage("UPDATE payments SET currency = 'USD' WHERE order_id = 1").await;
    assert_eq!(system.states().await, ["VOIDING", "VOIDED"]);
    database.close().await;
    system.finish().await;
}
