use std::collections::HashSet;

use payment::domain::State;
use shared_events::{EventBody, EventType, FailureReason};

use crate::{harness::System, orders::Order};

const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };

#[tokio::test]
async fn reserved_stock_is_paid() {
    let mut system = System::start().await;
    let order = Order::of(41, "200.50");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    let payment = system.row(order.saga_id).await.unwrap();
    assert_eq!((payment.order_id, payment.amount), (order.details.order_id, order.details.total));
    assert_eq!(payment.reference, Some(format!("auth-{}", order.saga_id)));
    assert_eq!(system.gateway.holds(order.saga_id), 20_050);
    let (status, body) = system.get("/api/v1/payments/1").await;
    assert_eq!((status, &body["authorized"], &body["order_id"]), (200, &true.into(), &41.into()));
    system.finish().await;
}

#[tokio::test]
async fn a_decline_is_told() {
    let mut system = System::start().await;
    let order = Order::of(1, "1000");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(FAILED));
    let payment = system.row(order.saga_id).await.unwrap();
    assert_eq!((payment.state, payment.reference), (State::Declined("over the limit".to_owned()), None));
    // A cancellation of it is answered, and changes nothing.
    system.tell(&order.cancel()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    assert_eq!(system.states().await, ["DECLINED"]);
    system.finish().await;
}

#[tokio::test]
async fn a_cancelled_order_gets_its_money_back() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.tell(&order.cancel()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    // It is said only once it is so.
    assert_eq!(system.states().await, ["VOIDED"]);
    assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (0, 1));
    let (_, body) = system.get("/api/v1/payments/1").await;
    assert_eq!((&body["status"], &body["authorized"]), (&"VOIDED".into(), &false.into()));
    system.finish().await;
}

#[tokio::test]
async fn a_cancellation_that_comes_first_keeps_the_payment_from_coming_about() {
    let mut system = System::start().await;
    let (paid, declined) = (Order::of(1, "20"), Order::of(2, "2000"));
    for order in [&paid, &declined] {
        system.tell(&order.cancel()).await;
        assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    }
    assert_eq!(system.states().await, ["CANCELLED", "CANCELLED"]);
    // Nothing was decided, so there is nothing to see.
    assert_eq!(system.get("/api/v1/payments/").await, (200, serde_json::json!([])));
    assert_eq!(system.get("/api/v1/payments/1").await.0, 404);

    for order in [&paid, &declined] {
        system.tell(&order.reserved()).await;
    }
    system.becomes(paid.saga_id, "VOIDED").await;
    assert_eq!(system.states().await, ["VOIDED", "CANCELLED"]);
    assert_eq!((system.gateway.holds(paid.saga_id), system.gateway.charges(paid.saga_id)), (0, 1));
    system.finish().await;
}

#[tokio::test]
async fn many_orders_are_each_charged_once() {
    let mut system = System::start().await;
    let orders: Vec<Order> = (1..=300).map(|id| Order::of(id, if id % 3 == 0 { "1000" } else { "10" })).collect();
    let messages: Vec<_> = orders.iter().map(Order::reserved).collect();
    system.say_all(&messages).await;
    let mut said = HashSet::new();
    for _ in &orders {
        said.insert(system.hear().await);
    }
    let expected = orders.iter().map(|order| {
        order.event(if order.details.order_id.0 % 3 == 0 { FAILED } else { EventBody::PaymentAuthorized })
    });
    assert_eq!(said, expected.collect());
    let rows = system.rows().await;
    let numbers: Vec<i64> = rows.iter().map(|payment| payment.payment_id.0).collect();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    assert!(
        rows.iter()
            .all(|payment| system.gateway.charges(payment.saga_id.unwrap()) == usize::from(payment.is_authorized()))
    );
    system.finish().await;
}

#[tokio::test]
async fn what_is_not_for_payment_is_parked_and_the_rest_goes_on() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    let nonsense = system.say_raw(EventType::StockReserved, "{").await;
    let strange = system.say_raw(EventType::StockReserved, &order.message(EventBody::StockReleased).encode()).await;
    let reserved = order.reserved();
    system.say(&reserved).await;
    for id in [nonsense, strange, reserved.header.id] {
        system.committed(id).await;
    }
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.parked = 2;
    system.finish().await;
}
