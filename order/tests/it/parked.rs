//! A parked message that an operator drives again goes the way of a delivery.

use reqwest::Method;
use serde_json::Value;
use service_kit::database::{insert, tables::dead_letter};
use shared_events::{Envelope, EventBody};

use crate::harness::{Harness, answer};

#[tokio::test]
async fn an_order_that_waits_for_it_comes_to_its_end() {
    let mut harness = Harness::start().await;
    let (id, created) = harness.place().await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    let message = crate::neighbour::saying(&created, EventBody::PaymentAuthorized);
    for _ in 0..2 {
        assert_eq!(park_and_drive(&harness, &message).await["outcome"], "HANDLED");
        assert_eq!(harness.status(id).await, ("CONFIRMED".to_owned(), "SUCCEEDED".to_owned()));
        harness.payment.repeat(&[&message]).await;
    }
    let (to_inventory, to_payment) = harness.heard_besides().await;
    assert_eq!(to_inventory, [EventBody::OrderConfirmed], "told once");
    assert_eq!(to_payment, [EventBody::StockReserved]);
    harness.finish().await;
}

/// A message is parked at the service, as it came; returns what driving it again answers.
async fn park_and_drive(harness: &Harness, message: &Envelope) -> Value {
    let row = dead_letter::Model {
        message_id: message.id.0,
        reason: "parked by the test".to_owned(),
        attempts: 1,
        event: None,
        order_id: None,
        body: message.encode().into_bytes(),
        parked_at: 0,
    };
    let database = harness.intruder().await;
    let transaction = database.begin().await.unwrap();
    insert::<dead_letter::Entity, _>(&transaction, &[row]).await.unwrap();
    transaction.commit().await.unwrap();
    database.close().await;
    let path = format!("/admin/dead-letters/{}/redrive", message.id);
    answer(harness.request(Method::POST, &path).bearer_auth("the-token")).await.body
}
