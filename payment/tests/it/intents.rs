//! What is to be asked of the gateway is in the table: no message waits for the gateway, and no crash loses a question.

use std::collections::HashSet;

use rstest::rstest;
use shared_events::{EventBody, FailureReason, PaymentMethod};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TIMEOUT, until,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };

/// Returns what readiness says about the gateway, with the status.
async fn readiness(harness: &Harness) -> (u16, String) {
    let answer = harness.service.http.get("/health/ready").await;
    (answer.status, answer.text)
}

#[rstest]
#[tokio::test]
async fn while_the_gateway_is_away_messages_are_acknowledged_and_readiness_says_so(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start_with(database, &["--prefetch", "4"]).await;
    harness.gateway.fail(Point::BeforePrepare, usize::MAX);
    harness.gateway.fail(Point::BeforeLookup, usize::MAX);
    let orders: Vec<Order> = (1..=50).map(|id| Order::of(id, "20")).collect();
    // Each message is committed, so none of them fills the prefetch.
    for order in &orders {
        harness.publish(&order.reserved()).await;
    }
    until("readiness names the gateway", async || {
        let (status, text) = readiness(&harness).await;
        status == 503 && text.contains("gateway") && text.contains("does not answer")
    })
    .await;
    let metrics = harness.service.http.get("/metrics").await.text;
    assert!(metrics.contains("order_system_gateway_circuit_open{service=\"payment\"} 1"), "{metrics}");
    // A cancellation needs no gateway.
    harness.publish(&orders[0].cancel()).await;
    assert_eq!(harness.receive().await, orders[0].event(EventBody::PaymentVoided));

    harness.gateway.fail(Point::BeforePrepare, 0);
    harness.gateway.fail(Point::BeforeLookup, 0);
    let mut authorized = HashSet::new();
    while authorized.len() < orders.len() - 1 {
        let event = harness.receive().await;
        assert!(event.body == EventBody::PaymentAuthorized && authorized.insert(event.saga_id), "{event:?}");
    }
    until("it is ready again", async || readiness(&harness).await.0 == 200).await;
    assert!(orders[1..].iter().all(|order| harness.gateway.charges(order.saga_id) == 1));
    assert_eq!(harness.gateway.charges(orders[0].saga_id), 0);
    harness.finish().await;
}

/// While the gateway is away, each payment is in the table, few are asked about, and cancellations are answered.
#[rstest]
#[tokio::test]
async fn ten_thousand_open_intents(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    harness.gateway.hold(Point::BeforePrepare);
    let orders: Vec<Order> = (1..=10_000).map(|id| Order::of(id, if id % 100 == 0 { "1000" } else { "10" })).collect();
    let messages: Vec<_> = orders.iter().map(Order::reserved).collect();
    harness.hand_over(&messages).await;
    for message in &messages {
        harness.committed(message.header.id).await;
    }
    let (cancelled, paid) = orders.split_at(10);
    for order in cancelled {
        harness.publish(&order.cancel()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    }
    let open = harness.gateway.count(Point::BeforePrepare);
    assert!((1..=64).contains(&open), "{open} payments are asked about");

    harness.gateway.release(Point::BeforePrepare);
    let mut received = HashSet::new();
    for _ in paid {
        received.insert(harness.receive().await);
    }
    let expected =
        |order: &Order| if order.details.order_id.0 % 100 == 0 { FAILED } else { EventBody::PaymentAuthorized };
    assert_eq!(received, paid.iter().map(|order| order.event(expected(order))).collect());
    for order in &orders {
        let charges = usize::from(expected(order) != FAILED && order.details.order_id.0 > 10);
        assert_eq!(harness.gateway.charges(order.saga_id), charges, "{}", order.details.order_id);
    }
    harness.finish().await;
}

/// The service stops in each call, before and after the gateway has acted.
#[rstest]
#[tokio::test]
async fn a_stop_between_any_two_steps_loses_and_repeats_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    use Point::{AfterAuthorize, AfterCapture, AfterPrepare, AfterVoid};
    use Point::{BeforeAuthorize, BeforeCapture, BeforePrepare, BeforeVoid};
    let first = [BeforePrepare, AfterPrepare, BeforeAuthorize, AfterAuthorize];
    for point in first.into_iter().chain([BeforeCapture, AfterCapture, BeforeVoid, AfterVoid]) {
        let mut harness = Harness::start_with(database, &["--gateway-timeout", "500ms"]).await;
        let order = Order::of(1, "20");
        let (asked, event, state, moved) = match point {
            BeforeVoid | AfterVoid => (order.cancel(), EventBody::PaymentVoided, "VOIDED", [0, 0]),
            BeforeCapture | AfterCapture => (order.confirmed(), EventBody::PaymentCaptured, "CAPTURED", [0, 2_000]),
            _ => (order.reserved(), EventBody::PaymentAuthorized, "AUTHORIZED", [2_000, 0]),
        };
        if state != "AUTHORIZED" {
            harness.publish(&order.reserved()).await;
            assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
        }
        harness.gateway.hold(point);
        harness.publish(&asked).await;
        harness.gateway.reached(point, 1).await;
        harness.service.restart().await;
        harness.gateway.release(point);
        // No message is delivered again, and nobody repeats a cancellation.
        assert_eq!(harness.receive().await, order.event(event), "{point:?}");
        assert_eq!(harness.states().await, [state], "{point:?}");
        let now = harness.gateway.moved(order.saga_id);
        assert_eq!((harness.gateway.charges(order.saga_id), [now.held, now.captured]), (1, moved), "{point:?}");
        harness.finish().await;
    }
}

/// The means of payment is stored for as long as it is needed, across a stop.
#[rstest]
#[tokio::test]
async fn the_gateway_is_told_the_means_of_payment(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_with(database, &["--gateway-timeout", "500ms"]).await;
    let mut order = Order::of(1, "20");
    order.details.payment_method = Some(PaymentMethod::parse("pm_card_visa").unwrap());
    harness.gateway.hold(Point::BeforePrepare);
    harness.publish(&order.reserved()).await;
    harness.gateway.reached(Point::BeforePrepare, 1).await;
    harness.service.restart().await;
    harness.gateway.release(Point::BeforePrepare);
    assert_eq!(harness.receive().await.body, EventBody::PaymentAuthorized);
    assert_eq!(harness.gateway.method(order.saga_id), order.details.payment_method);
    assert_eq!(harness.row(order.saga_id).await.unwrap().task, None);
    harness.finish().await;
}

#[tokio::test]
async fn two_replicas_share_the_questions() {
    let mut harness = Harness::start(Postgres).await;
    let second = harness.replica().await;
    let orders: Vec<Order> = (1..=300).map(|id| Order::of(id, "20")).collect();
    let messages: Vec<_> = orders.iter().map(Order::reserved).collect();
    harness.gateway.hold(Point::BeforeAuthorize);
    harness.hand_over(&messages).await;
    for message in &messages {
        harness.committed(message.header.id).await;
    }
    // Both ask as much as one of them may.
    harness.gateway.reached(Point::BeforeAuthorize, 65).await;
    harness.gateway.release(Point::BeforeAuthorize);
    let mut authorized = HashSet::new();
    while authorized.len() < orders.len() {
        let event = harness.receive().await;
        assert!(event.body == EventBody::PaymentAuthorized && authorized.insert(event.saga_id), "{event:?}");
    }
    // Each payment was asked about by one of them.
    assert_eq!(harness.gateway.count(Point::BeforePrepare), orders.len());
    assert_eq!(harness.gateway.count(Point::BeforeAuthorize), orders.len());
    service_host::service::stop(vec![second], TIMEOUT).await;
    harness.finish().await;
}
