//! A parked message that an operator drives again goes the way of a delivery, over the gateway.

use serde_json::Value;
use service_kit::database::{Database, insert, tables::dead_letter};
use shared_events::{Envelope, EventBody};

use crate::{harness::System, orders::Order};

#[tokio::test]
async fn reserved_stock_is_paid_once() {
    let mut system = System::start().await;
    let order = Order::of(41, "200.50");
    let message = order.reserved();
    let answer = park_and_drive(&system.database, &system.http, &system.url, &message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.tell(&message).await;
    let answer = park_and_drive(&system.database, &system.http, &system.url, &message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (20_050, 1));
    assert_eq!(system.states().await, ["AUTHORIZED"]);
    system.finish().await;
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
