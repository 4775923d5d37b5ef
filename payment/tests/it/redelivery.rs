//! Each message twice, redelivered and repeated: the second time changes nothing.

use std::collections::HashSet;

use rstest::rstest;
use shared_events::{Envelope, EventBody, FailureReason};
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{harness::Harness, orders::Order};

/// Publishes `first`, one by one, and receives the answer to each, as far as there are `answers`; then publishes
/// everything again as it was (redelivered) and in new messages (repeated): the table and the gateway stay as they are.
/// Only repeated cancellations and confirmations are answered.
async fn twice(
    database: DatabaseKind,
    order: &Order,
    first: Vec<Envelope>,
    answers: &[EventBody],
    state: &str,
    held: i64,
) {
    let mut harness = Harness::start(database).await;
    for (index, message) in first.iter().enumerate() {
        harness.publish(message).await;
        if let Some(body) = answers.get(index) {
            assert_eq!(harness.receive().await, order.event(body.clone()));
        }
    }
    harness.until_state(order.saga_id, state).await;
    let rows = harness.rows().await;
    let charges = harness.gateway.charges(order.saga_id);

    for message in &first {
        harness.publish(message).await;
    }
    assert_eq!(harness.rows().await, rows, "a redelivered message is dropped");

    for message in &first {
        harness.publish(&order.message(message.event.body.clone())).await;
        let answer = match message.event.body {
            EventBody::OrderCancelRequested { .. } => EventBody::PaymentVoided,
            EventBody::OrderConfirmed => EventBody::PaymentCaptured,
            _ => continue,
        };
        assert_eq!(harness.receive().await, order.event(answer));
    }
    assert_eq!(harness.rows().await, rows, "a repeated message changes nothing");
    assert_eq!((harness.gateway.charges(order.saga_id), harness.gateway.holds(order.saga_id)), (charges, held));
    assert!(charges <= 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn stock_reserved_and_authorized(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "20");
    twice(database, &order, vec![order.reserved()], &[EventBody::PaymentAuthorized], "AUTHORIZED", 2_000).await;
}

#[rstest]
#[tokio::test]
async fn confirmed_after_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "20");
    let answers = [EventBody::PaymentAuthorized, EventBody::PaymentCaptured];
    twice(database, &order, vec![order.reserved(), order.confirmed()], &answers, "CAPTURED", 0).await;
}

#[rstest]
#[tokio::test]
async fn stock_reserved_and_declined(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "5000");
    let failed = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    twice(database, &order, vec![order.reserved()], &[failed], "DECLINED", 0).await;
}

#[rstest]
#[tokio::test]
async fn cancelled_before_anything(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "20");
    twice(database, &order, vec![order.cancel()], &[EventBody::PaymentVoided], "CANCELLED", 0).await;
}

#[rstest]
#[tokio::test]
async fn cancelled_after_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "20");
    let answers = [EventBody::PaymentAuthorized, EventBody::PaymentVoided];
    twice(database, &order, vec![order.reserved(), order.cancel()], &answers, "VOIDED", 0).await;
}

#[rstest]
#[tokio::test]
async fn cancelled_before_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let order = Order::of(1, "20");
    twice(database, &order, vec![order.cancel(), order.reserved()], &[EventBody::PaymentVoided], "CANCELLED", 0).await;
}

#[rstest]
#[tokio::test]
async fn the_same_message_several_times_at_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (order, cancelled) = (Order::of(1, "20"), Order::of(2, "20"));
    let (reserved, cancel) = (order.reserved(), cancelled.cancel());
    let mut all = vec![reserved.clone(), reserved.clone(), order.reserved(), reserved, order.reserved()];
    all.extend([cancel.clone(), cancel]);
    harness.hand_over(&all).await;
    let received = HashSet::from([harness.receive().await, harness.receive().await]);
    let expected = [order.event(EventBody::PaymentAuthorized), cancelled.event(EventBody::PaymentVoided)];
    assert_eq!(received, HashSet::from(expected));
    for message in &all {
        harness.committed(message.header.id).await;
    }
    assert_eq!(harness.states().await, ["AUTHORIZED", "CANCELLED"]);
    assert_eq!(harness.gateway.charges(order.saga_id), 1);
    harness.finish().await;
}
