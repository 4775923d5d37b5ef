//! A parked message that an operator drives again goes the way of a delivery.

use shared_events::{Envelope, Event, EventBody, Header, MessageId, Timestamp};
use uuid::Uuid;

use crate::{harness::Harness, parking::park_and_drive, saga::order};

#[tokio::test]
async fn a_created_order_gets_its_stock_once() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    let (saga_id, order) = order(1, &[("A", 3)]);
    let event = Event { saga_id, order, body: EventBody::OrderCreated };
    let id = MessageId(Uuid::now_v7());
    let time = Timestamp::from_unix_micros(1_763_800_000_000_000);
    let message = Envelope {
        header: Header { id, time, causation_id: id.0, system_id: None, traceparent: None },
        event: event.clone(),
    };
    for _ in 0..2 {
        let answer = park_and_drive(&inventory.database, &inventory.client, &inventory.base, &message).await;
        assert_eq!(answer["outcome"], "HANDLED", "{answer}");
        inventory.deliver(vec![(id, event.clone())]).await;
    }
    assert_eq!(inventory.said().await, [EventBody::StockReserved]);
    assert_eq!(inventory.numbers("A").await, (7, 3, 0));
    inventory.finish().await;
}
