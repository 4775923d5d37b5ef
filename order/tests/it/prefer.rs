//! `Prefer` (RFC 7240): how long a response waits.

use rstest::rstest;
use serde_json::json;
use shared_events::{EventBody, EventType};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::harness::{Harness, example};

#[rstest]
#[tokio::test]
async fn who_does_not_want_to_wait_is_answered_at_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (prefer, applied) in [
        ("respond-async", "respond-async"),
        ("RESPOND-ASYNC", "respond-async"),
        ("handling=lenient, respond-async; x=1", "respond-async"),
        ("wait=0", "wait=0"),
        ("respond-async, wait=0", "wait=0"),
    ] {
        let answer = answer(harness.posting(&example()).header("prefer", prefer)).await;
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("PENDING")), "{prefer}");
        assert_eq!(answer.header("preference-applied"), Some(applied));
        let location = format!("/api/v1/orders/{}", answer.body["order_id"]);
        assert_eq!((answer.header("location"), answer.header("retry-after")), (Some(&*location), Some("1")));
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_wants_to_wait_hears_the_end(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    for (prefer, applied) in [
        ("wait=50", Some("wait=50")),
        ("wait=\"50\"", Some("wait=50")),
        ("respond-async, wait=50", Some("wait=50")),
        ("wait=86400", Some("wait=60")),
        ("wait=now", None),
        ("wait=-1", None),
        ("", None),
        ("return=minimal", None),
    ] {
        let posting = tokio::spawn(answer(harness.posting(&example()).header("prefer", prefer)));
        let created = harness.inventory.receive(EventType::OrderCreated).await;
        assert!(!posting.is_finished());
        harness.inventory.publish(&created, EventBody::StockReserved).await;
        harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
        let answer = posting.await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{prefer}");
        assert_eq!(answer.header("preference-applied"), applied, "{prefer}");
        harness.inventory.receive(EventType::OrderConfirmed).await;
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_wait_ends_when_it_is_over(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let answer = answer(harness.posting(&example()).header("prefer", "wait=1")).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("wait=1")));
    // The order ends even though the client no longer waits.
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    assert_eq!(harness.order(1).await["status"], "CONFIRMED");
    harness.finish().await;
}
