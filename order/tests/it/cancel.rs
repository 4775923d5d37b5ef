//! Cancelling: by the customer, by the deadline, and across what happens at the same moment.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use shared_events::{CancelReason, EventBody, EventType, FailureReason, Sku};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer, caused_by, until,
};

use crate::harness::{Harness, Plan, example};

const BY_CUSTOMER: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };
const BY_DEADLINE: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Deadline };

#[rstest]
#[tokio::test]
async fn a_cancelled_order_ends_when_nothing_is_left_of_it(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let posting = tokio::spawn(answer(harness.posting(&example())));
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    let cancelled = harness.cancel(1).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (202, &json!("COMPENSATING")));
    assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event.body, BY_CUSTOMER);
    assert_eq!(harness.payment.receive(EventType::OrderCancelRequested).await.event.body, BY_CUSTOMER);
    // Cancelling again changes nothing.
    let again = harness.cancel(1).await;
    assert_eq!((again.status, again.body), (202, cancelled.body));
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    assert_eq!(harness.status(1).await.0, "COMPENSATING");
    assert!(!posting.is_finished());
    harness.payment.publish(&created, EventBody::PaymentVoided).await;

    let answer = posting.await.unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CANCELLED")));
    assert_eq!((answer.body.get("failure_reason"), answer.body.get("detail")), (None, None));
    let ended = harness.cancel(1).await;
    assert_eq!((ended.status, ended.body), (202, answer.body), "a cancelled order stays so");
    assert_eq!(harness.remaining_events().await, (vec![], vec![]));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_confirmed_order_is_not_cancelled(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    harness.cancel(id).await.assert_problem(409, "the order is confirmed");
    assert_eq!(harness.status(id).await, ("CONFIRMED".to_owned(), "SUCCEEDED".to_owned()));
    harness.inventory.receive(EventType::OrderConfirmed).await;
    assert_eq!(harness.remaining_events().await.0, []);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_failed_order_needs_no_cancelling(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let reason = FailureReason::UnknownItem;
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    harness.inventory.publish(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
    let answer = harness.cancel(id).await;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("FAILED")));
    assert_eq!(harness.timeline(id).await, ["OrderCreated", "StockReservationFailed", "OrderFailed"]);
    assert_eq!(harness.remaining_events().await, (vec![], vec![]));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cancel_that_crosses_a_payment_ends_with_the_payment_voided(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let reserved = harness.inventory.publish(&created, EventBody::StockReserved).await;
    // Payment authorizes while the customer cancels; order receives that later.
    let authorized = caused_by(&reserved, EventBody::PaymentAuthorized);
    assert_eq!(harness.cancel(id).await.status, 202);
    harness.payment.publish_all([&authorized]).await;
    assert_eq!(harness.status(id).await, ("COMPENSATING".to_owned(), "SUCCEEDED".to_owned()));
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    assert_eq!(harness.status(id).await, ("CANCELLED".to_owned(), "VOIDED".to_owned()));
    let timeline = harness.timeline(id).await;
    assert_eq!(timeline.iter().filter(|event| event.starts_with("OrderC")).count(), 3, "{timeline:?}");
    assert!(!timeline.contains(&"OrderConfirmed".to_owned()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cancel_that_crosses_a_refusal_ends_cancelled(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.cancel(id).await;
    let reason = FailureReason::InsufficientStock;
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    harness.inventory.publish(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    assert_eq!(harness.status(id).await, ("CANCELLED".to_owned(), "NOT_ATTEMPTED".to_owned()));
    // Inventory's other answer, to the request to cancel, is late.
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    assert_eq!(harness.status(id).await, ("CANCELLED".to_owned(), "NOT_ATTEMPTED".to_owned()));
    harness.finish().await;
}

fn short_waits() -> Plan {
    let mut plan = Plan::default();
    plan.order.order_deadline = Duration::from_millis(50);
    plan.order.cancel_repeat = Duration::from_millis(30);
    plan.order.cancel_repeat_longest = Duration::from_millis(60);
    plan
}

#[rstest]
#[tokio::test]
async fn past_its_deadline_an_order_is_cancelled_and_fails(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_with(database, short_waits()).await;
    let posting = tokio::spawn(answer(harness.posting(&example())));
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    // It repeats the request until it is answered.
    for _ in 0..3 {
        assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event.body, BY_DEADLINE);
        assert_eq!(harness.payment.receive(EventType::OrderCancelRequested).await.event.body, BY_DEADLINE);
    }
    assert_eq!(harness.status(1).await.0, "COMPENSATING");
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    // One answer of two is not enough.
    harness.payment.received_bodies();
    assert_eq!(harness.payment.receive(EventType::OrderCancelRequested).await.event.body, BY_DEADLINE);
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    let answer = posting.await.unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("FAILED")));
    assert_eq!(
        (&answer.body["failure_reason"], &answer.body["detail"]),
        (&json!("DEADLINE_EXCEEDED"), &json!("deadline exceeded"))
    );
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_request_of_a_customer_is_repeated_as_such(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = short_waits();
    plan.order.order_deadline = Duration::from_secs(600);
    let mut harness = Harness::start_with(database, plan).await;
    let (id, created) = harness.place().await;
    harness.cancel(id).await;
    for _ in 0..3 {
        assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event.body, BY_CUSTOMER);
    }
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    assert_eq!(harness.status(id).await.0, "CANCELLED");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_clock_leaves_an_order_alone_that_has_ended(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_with(database, short_waits()).await;
    let (ended, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    until("it has ended", async || harness.status(ended).await.0 == "FAILED").await;
    let before = (harness.order(ended).await, harness.timeline(ended).await);
    // The clock wakes another order, placed later, several times.
    let (other, created) = harness.place().await;
    for _ in 0..3 {
        harness.inventory.receive_about(other, EventType::OrderCancelRequested).await;
    }
    assert_eq!((harness.order(ended).await, harness.timeline(ended).await), before);
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    harness.finish().await;
}
