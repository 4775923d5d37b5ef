//! The steps of payment in the saga.

use std::collections::HashSet;

use payment::domain::State;
use rstest::rstest;
use saga_runtime::broker::Outgoing;
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    outgoing,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };

#[rstest]
#[tokio::test]
async fn reserved_stock_is_paid(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(41, "200.50");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    let payment = harness.row(order.saga_id).await.unwrap();
    assert_eq!((payment.order_id, payment.amount), (order.details.order_id, order.details.total));
    assert_eq!(payment.reference, Some(format!("auth-{}", order.saga_id)));
    assert_eq!(harness.gateway.holds(order.saga_id), 20_050);
    let (status, body) = harness.get("/api/v1/payments/1").await;
    assert_eq!((status, &body["authorized"], &body["order_id"]), (200, &true.into(), &41.into()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_decline_is_told(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "1000");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(FAILED));
    let payment = harness.row(order.saga_id).await.unwrap();
    assert_eq!((payment.state, payment.reference), {
        (State::Declined("over the limit".to_owned()), Some(format!("auth-{}", order.saga_id)))
    });
    // A cancellation after that is answered, and changes nothing.
    harness.publish(&order.cancel()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    assert_eq!(harness.states().await, ["DECLINED"]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cancelled_order_gets_its_money_back(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.publish(&order.cancel()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    // It is published only once it is true.
    assert_eq!(harness.states().await, ["VOIDED"]);
    assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (0, 1));
    let (_, body) = harness.get("/api/v1/payments/1").await;
    assert_eq!((&body["status"], &body["authorized"]), (&"VOIDED".into(), &false.into()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cancellation_that_comes_first_keeps_the_payment_from_coming_about(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (paid, declined) = (Order::of(1, "20"), Order::of(2, "2000"));
    for order in [&paid, &declined] {
        harness.publish(&order.cancel()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    }
    assert_eq!(harness.states().await, ["CANCELLED", "CANCELLED"]);
    // No payment was decided, so REST shows none.
    assert_eq!(harness.get("/api/v1/payments/").await, (200, serde_json::json!([])));
    assert_eq!(harness.get("/api/v1/payments/1").await.0, 404);

    for order in [&paid, &declined] {
        harness.publish(&order.reserved()).await;
    }
    // The gateway is not even asked.
    assert_eq!(harness.states().await, ["CANCELLED", "CANCELLED"]);
    assert_eq!((harness.gateway.charges(paid.saga_id), harness.gateway.count(Point::BeforePrepare)), (0, 0));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn many_orders_are_each_charged_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let orders: Vec<Order> = (1..=300).map(|id| Order::of(id, if id % 3 == 0 { "1000" } else { "10" })).collect();
    let messages: Vec<_> = orders.iter().map(Order::reserved).collect();
    harness.hand_over(&messages).await;
    let mut received = HashSet::new();
    for _ in &orders {
        received.insert(harness.receive().await);
    }
    let expected = orders.iter().map(|order| {
        order.event(if order.details.order_id.0 % 3 == 0 { FAILED } else { EventBody::PaymentAuthorized })
    });
    assert_eq!(received, expected.collect());
    let rows = harness.rows().await;
    let numbers: Vec<i64> = rows.iter().map(|payment| payment.payment_id.0).collect();
    assert_eq!(numbers, (1..=300).collect::<Vec<_>>());
    assert!(
        rows.iter()
            .all(|payment| harness.gateway.charges(payment.saga_id().unwrap()) == usize::from(payment.is_authorized()))
    );
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_not_for_payment_is_dead_lettered_and_the_rest_goes_on(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    let nonsense = Outgoing { body: "{".into(), ..outgoing(&order.reserved()) };
    let not_for_payment = order.message(EventBody::StockReleased).encode().into();
    let not_for_payment = Outgoing { body: not_for_payment, ..outgoing(&order.reserved()) };
    let messages = vec![nonsense, not_for_payment, outgoing(&order.reserved())];
    let ids: Vec<_> = messages.iter().map(|message| message.message_id).collect();
    harness.hand_over_raw(messages).await;
    for id in ids {
        harness.committed(id).await;
    }
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.service.dead_letters(2).await;
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_payment_of_an_order_is_found(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    for (order_id, event) in [(41, EventBody::PaymentAuthorized), (42, FAILED), (41, EventBody::PaymentAuthorized)] {
        let order = Order::of(order_id, if event == FAILED { "1000" } else { "20" });
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(event));
    }
    let cancelled_before = Order::of(43, "20");
    harness.publish(&cancelled_before.cancel()).await;
    harness.receive().await;
    for (query, expected) in [
        ("order_id=41", vec![1, 3]),
        ("order_id=41&limit=1&after=1", vec![3]),
        ("order_id=41&order=desc", vec![3, 1]),
        ("order_id=41&order=desc&after=3", vec![1]),
        ("order_id=42", vec![2]),
        ("order_id=43", vec![]),
        ("order_id=-1", vec![]),
    ] {
        let (status, payments) = harness.get(&format!("/api/v1/payments?{query}")).await;
        let ids: Vec<_> = payments.as_array().unwrap().iter().map(|one| one["payment_id"].as_i64().unwrap()).collect();
        assert_eq!((status, ids), (200, expected), "{query}");
    }
    harness.finish().await;
}
