//! A parked message that an operator drives again goes the way of a delivery.

use serde_json::Value;
use service_kit::database::{Database, insert, tables::dead_letter};
use shared_events::{Envelope, Event, EventBody, MessageId, Timestamp};
use uuid::Uuid;

use crate::{harness::Harness, saga::order};

#[tokio::test]
async fn a_created_order_gets_its_stock_once() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    let (saga_id, order) = order(1, &[("A", 3)]);
    let event = Event { saga_id, order, body: EventBody::OrderCreated };
    let id = MessageId(Uuid::now_v7());
    let time = Timestamp::from_unix_micros(1_763_800_000_000_000);
    let message = Envelope { id, time, causation_id: id.0, traceparent: None, event: event.clone() };
    for _ in 0..2 {
        let answer = park_and_drive(&inventory.database, &inventory.client, &inventory.base, &message).await;
        assert_eq!(answer["outcome"], "HANDLED", "{answer}");
        inventory.deliver(vec![(id, event.clone())]).await;
    }
    assert_eq!(inventory.said().await, [EventBody::StockReserved]);
    assert_eq!(inventory.numbers("A").await, (7, 3, 0));
    inventory.finish().await;
}

/// A message is parked at the service, as it came; returns what driving it again answers.
async fn park_and_drive(database: &Database, client: &reqwest::Client, url: &str, message: &Envelope) -> Value {
    let row = dead_letter::Model {
        message_id: message.id.0,
        reason: "parked by the test".to_owned(),
        attempts: 1,
        event: None,
        order_id: None,
        body: message.encode().into_bytes(),
        parked_at: 0,
    };
    let transaction = database.begin().await.unwrap();
    insert::<dead_letter::Entity, _>(&transaction, &[row]).await.unwrap();
    transaction.commit().await.unwrap();
    let url = format!("{url}/admin/dead-letters/{}/redrive", message.id);
    let response = client.post(url).bearer_auth("the-token").send().await.unwrap();
    response.json().await.unwrap()
}
