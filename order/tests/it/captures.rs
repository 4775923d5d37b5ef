//! A confirmed order waits for the capture of its payment, and shows what became of it.

use std::collections::HashSet;

use rstest::rstest;
use sea_orm::{ConnectionTrait as _, DbBackend};
use serde_json::{Value, json};
use shared_events::{Envelope, EventBody, EventType};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    execute, within_timeout,
};

use crate::harness::Harness;

/// A confirmed order: its number, and the message that placed it.
async fn confirmed(harness: &mut Harness) -> (i64, Envelope) {
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    harness.inventory.receive_about(id, EventType::OrderConfirmed).await;
    harness.payment.receive_about(id, EventType::OrderConfirmed).await;
    (id, created)
}

#[rstest]
#[tokio::test]
async fn an_order_shows_what_became_of_the_capture(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = confirmed(&mut harness).await;
    let before = harness.order(id).await;
    assert_eq!(before.get("capture"), None);
    // What failed may be taken later, but not the other way round.
    let story = [
        (EventBody::PaymentCaptureFailed, "FAILED", 1),
        (EventBody::PaymentCaptureFailed, "FAILED", 1),
        (EventBody::PaymentCaptured, "CAPTURED", 2),
        (EventBody::PaymentCaptureFailed, "CAPTURED", 2),
    ];
    for (body, capture, changes) in story {
        harness.payment.publish(&created, body.clone()).await;
        let mut after = before.clone();
        after["capture"] = json!(capture);
        after["version"] = json!(before["version"].as_i64().unwrap() + changes);
        assert_eq!(harness.order(id).await, after, "{body:?}: nothing else changes, also not the time of its end");
    }
    let timeline = harness.get(&format!("/api/v1/orders/{id}/events")).await.body;
    let changes: Vec<&Value> = timeline.as_array().unwrap().iter().map(|entry| &entry["changed"]).collect();
    let told = [json!("the capture has failed"), json!(""), json!("payment is captured"), json!("")];
    assert_eq!(changes[changes.len() - 4..], told.each_ref());
    assert_eq!(harness.remaining_events().await, (vec![], vec![]));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_confirmation_is_repeated_until_the_capture_is_known(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let other_process = harness.service.another_writer().await;
    let (id, created) = confirmed(&mut harness).await;
    let before = harness.order(id).await;
    for repeat in 1..=2 {
        execute(&other_process, "UPDATE orders SET wake_at = 1").await;
        for peer in [&mut harness.inventory, &mut harness.payment] {
            within_timeout("it is repeated", peer.receive_about(id, EventType::OrderConfirmed)).await;
        }
        let order = order::store::by_id(&other_process.reader(), created.event.order.order_id, None).await;
        let order = order.unwrap().unwrap();
        let pause = order.wake_at.unwrap().since(other_process.clock().now()).as_secs();
        // The deadline is 600 s; nothing here takes 5 minutes.
        let expected = if repeat == 1 { 300..=600 } else { 900..=1_200 };
        assert!(expected.contains(&pause), "{repeat}: {pause}");
    }
    assert_eq!(harness.order(id).await["updated_at"], before["updated_at"]);
    harness.payment.publish(&created, EventBody::PaymentCaptured).await;
    execute(&other_process, "UPDATE orders SET wake_at = 1 WHERE wake_at IS NOT NULL").await;
    assert_eq!(harness.order(id).await["capture"], "CAPTURED");
    other_process.close().await;
    harness.remaining_events().await;
    harness.finish().await;
}

/// Some are in the database when it is upgraded, and others are confirmed by a replica that still runs.
#[rstest]
#[tokio::test]
async fn what_an_earlier_version_has_confirmed_is_captured_in_the_background(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    // More than one tick takes.
    const COUNT: i64 = 600;
    let mut harness = Harness::start(database).await;
    let other_process = harness.service.another_writer().await;
    let transaction = other_process.begin().await.unwrap();
    let uuid = match transaction.get_database_backend() {
        DbBackend::Sqlite => "randomblob(16)",
        _ => "gen_random_uuid()",
    };
    // As that version inserts it. One of them is damaged, and one has failed.
    let insert = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {COUNT})
         INSERT INTO orders (order_id, saga_id, lines, minor_units, currency, placed_at, changed_at, stock, payment,
             status, repeats)
         SELECT n, {uuid}, '[{{\"item_sku\":\"A\",\"quantity\":1}}]', 100, CASE n WHEN 7 THEN 'XXX' ELSE 'USD' END,
             n, n, 'RESERVED', 'AUTHORIZED', CASE n WHEN 8 THEN 'FAILED' ELSE 'CONFIRMED' END, 0
         FROM numbers"
    );
    transaction.execute_unprepared(&insert).await.unwrap();
    transaction.commit().await.unwrap();
    let mut repeated = HashSet::new();
    for _ in 0..COUNT - 2 {
        let confirmed = harness.payment.receive(EventType::OrderConfirmed).await;
        let id = confirmed.event.order.order_id.0;
        assert!(repeated.insert(id), "once each: {confirmed:?}");
        if id == COUNT {
            harness.payment.publish(&confirmed, EventBody::PaymentCaptured).await;
        }
    }
    assert!(!repeated.contains(&7) && !repeated.contains(&8));
    let order = harness.order(COUNT).await;
    assert_eq!((&order["status"], &order["capture"]), (&json!("CONFIRMED"), &json!("CAPTURED")));
    // The others wait for the capture, and the damaged one is tried again after a while.
    let left = order::store::count_unfinished(&other_process.reader()).await.unwrap();
    assert_eq!(i64::try_from(left).unwrap(), COUNT - 2);
    other_process.close().await;
    harness.remaining_events().await;
    harness.finish().await;
}
