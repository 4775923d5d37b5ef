//! A row that cannot be read does not block any other.

use rstest::rstest;
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    execute,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

#[rstest]
#[tokio::test]
async fn a_damaged_payment_delays_no_void_and_hides_no_other_payment(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start_with(database, &["--gateway-timeout", "1s"]).await;
    let orders = [1, 2].map(|number| Order::of(number, "20"));
    for order in &orders {
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    }
    harness.gateway.hold(Point::BeforeVoid);
    for (order, reached) in orders.iter().zip(1..) {
        harness.publish(&order.cancel()).await;
        harness.gateway.reached(Point::BeforeVoid, reached).await;
    }
    // Both calls fail, so that both payments have to be found again; the first one is damaged.
    let database = harness.service.another_writer().await;
    execute(&database, "UPDATE payments SET currency = 'XXX' WHERE order_id = 1").await;
    harness.gateway.fail(Point::BeforeVoid, 2);
    harness.gateway.release(Point::BeforeVoid);
    harness.until_state(orders[1].saga_id, "VOIDED").await;
    assert_eq!(harness.receive().await, orders[1].event(EventBody::PaymentVoided));

    let (status, list) = harness.get("/api/v1/payments/").await;
    assert_eq!((status, list.as_array().unwrap().len()), (200, 1), "{list}");
    assert_eq!((harness.get("/api/v1/payments/1").await.0, harness.get("/api/v1/payments/2").await.0), (500, 200));
    execute(&database, "UPDATE payments SET currency = 'USD' WHERE order_id = 1").await;
    assert_eq!(harness.states().await, ["VOIDING", "VOIDED"]);
    database.close().await;
    harness.finish().await;
}
