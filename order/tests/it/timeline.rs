//! The timeline of an order: what caused each event, and what it contained.

use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{Envelope, EventBody, EventType, FailureReason, Sku};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    caused_by, execute,
};

use crate::harness::{Harness, example};

async fn timeline(harness: &Harness, id: i64) -> Vec<Value> {
    let answer = harness.get(&format!("/api/v1/orders/{id}/events")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_array().unwrap().clone()
}

fn entry<'a>(timeline: &'a [Value], event: &str) -> &'a Value {
    timeline.iter().find(|entry| entry["event"] == event).unwrap_or_else(|| panic!("no {event}: {timeline:?}"))
}

/// The `data` of the event as it is published.
fn data(envelope: &Envelope) -> Value {
    serde_json::from_str::<Value>(&envelope.encode()).unwrap()["data"].clone()
}

#[rstest]
#[tokio::test]
async fn each_event_has_its_cause_and_its_content(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let reserved = harness.inventory.publish(&created, EventBody::StockReserved).await;
    let reason = FailureReason::PaymentDeclined;
    let declined = harness.payment.publish(&reserved, EventBody::PaymentFailed { reason }).await;
    let released = harness.inventory.publish(&declined, EventBody::StockReleased).await;
    harness.service.outbox_is_empty().await;
    let timeline = timeline(&harness, id).await;
    assert_eq!(timeline.len(), 5, "{timeline:?}");
    let created_entry = entry(&timeline, "OrderCreated");
    assert_eq!((&created_entry["causation_id"], &created_entry["data"]), (&Value::Null, &data(&created)));
    for (event, cause) in [(&reserved, &created), (&declined, &reserved), (&released, &declined)] {
        let entry = entry(&timeline, &event.event.body.event_type().to_string());
        assert_eq!(entry["message_id"], event.header.id.to_string());
        assert_eq!((&entry["causation_id"], &entry["data"]), (&json!(cause.header.id), &data(event)));
    }
    let failed = entry(&timeline, "OrderFailed");
    assert_eq!(failed["causation_id"], json!(released.header.id));
    assert_eq!(failed["data"], data(&caused_by(&released, EventBody::OrderFailed { reason })));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_content_has_the_reason_and_the_item_that_it_names(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let (reason, item_sku) = (FailureReason::InsufficientStock, Sku::parse("SKU-ABC").unwrap());
    let failed = harness.inventory.publish(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
    let first = timeline(&harness, id).await;
    assert_eq!(entry(&first, "StockReservationFailed")["data"], data(&failed));

    let (id, _) = harness.place().await;
    harness.cancel(id).await;
    let request = harness.inventory.receive(EventType::OrderCancelRequested).await;
    let second = timeline(&harness, id).await;
    let entry = entry(&second, "OrderCancelRequested");
    assert_eq!((&entry["causation_id"], &entry["data"]), (&Value::Null, &data(&request)));
    assert_eq!(entry["data"]["reason"], "CUSTOMER");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_cause_that_arrives_late_is_shown_once_it_is_there(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let reserved = caused_by(&created, EventBody::StockReserved);
    harness.payment.publish(&reserved, EventBody::PaymentAuthorized).await;
    assert_eq!(entry(&timeline(&harness, id).await, "PaymentAuthorized")["causation_id"], Value::Null);
    harness.inventory.publish_all([&reserved]).await;
    assert_eq!(entry(&timeline(&harness, id).await, "PaymentAuthorized")["causation_id"], json!(reserved.header.id));
    harness.finish().await;
}

/// A replica of the previous release runs beside this one, and knows nothing of the new columns.
#[rstest]
#[tokio::test]
async fn an_entry_of_an_earlier_version_has_neither(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let id = harness.post_async(&example()).await;
    let columns = "order_id, event, source, happened_at, recorded_at, changed";
    execute(
        harness.service.observer(),
        &format!(
            "INSERT INTO order_events (message_id, {columns})
             SELECT {}, {columns} FROM order_events",
            if database == Sqlite { "randomblob(16)" } else { "gen_random_uuid()" }
        ),
    )
    .await;
    let timeline = timeline(&harness, id).await;
    let contents: Vec<bool> = timeline.iter().map(|entry| entry["data"].is_object()).collect();
    assert!(contents == [true, false] || contents == [false, true], "{timeline:?}");
    assert!(timeline.iter().all(|entry| entry.as_object().unwrap()["causation_id"].is_null()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_timeline_of_a_damaged_order_is_shown(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let id = harness.post_async(&example()).await;
    execute(harness.service.observer(), "UPDATE orders SET currency = 'XXX'").await;
    let timeline = timeline(&harness, id).await;
    assert_eq!((&timeline[0]["event"], &timeline[0]["data"]), (&json!("OrderCreated"), &Value::Null));
    harness.finish().await;
}
