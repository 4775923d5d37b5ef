//! Each input twice: the same message again, which the inbox drops, and the same fact in a new message, which the domain
//! has seen.

use inventory::domain::State;
use serde_json::json;
use shared_events::{Event, EventBody, MessageId, OrderDetails, SagaId};
use uuid::Uuid;

use crate::{
    harness::Harness,
    saga::{CANCEL, DECLINED, order},
};

/// What leads to a state, which event is then repeated, what it says, and what it says again to a new message.
type Case = (&'static [EventBody], EventBody, &'static [EventBody], &'static [EventBody], State);

const CASES: [Case; 7] = [
    (&[], EventBody::OrderCreated, &[EventBody::StockReserved], &[], State::Held),
    (&[EventBody::OrderCreated], DECLINED, &[EventBody::StockReleased], &[], State::Released),
    (&[], DECLINED, &[EventBody::StockReleased], &[], State::Cancelled),
    (&[EventBody::OrderCreated], EventBody::OrderConfirmed, &[], &[], State::Sold),
    (&[EventBody::OrderCreated], CANCEL, &[EventBody::StockReleased], &[EventBody::StockReleased], State::Released),
    (&[], CANCEL, &[EventBody::StockReleased], &[EventBody::StockReleased], State::Cancelled),
    (&[CANCEL], EventBody::OrderCreated, &[], &[], State::Cancelled),
];

fn message(saga_id: SagaId, order: &OrderDetails, body: &EventBody) -> (MessageId, Event) {
    (MessageId(Uuid::now_v7()), Event { saga_id, order: order.clone(), body: body.clone() })
}

#[tokio::test]
async fn the_same_message_has_no_second_effect() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 100).await;
    for (number, (before, event, says, _, state)) in (1..).zip(CASES) {
        let (saga, order) = order(number, &[("A", 3)]);
        for body in before {
            inventory.tell(saga, &order, body.clone()).await;
        }
        inventory.said().await;
        let message = message(saga, &order, &event);
        inventory.deliver(vec![message.clone()]).await;
        assert_eq!(inventory.said().await, says, "{message:?}");
        assert_eq!(inventory.state_of(saga).await, Some(state), "{message:?}");
        let once = inventory.everything().await;
        inventory.deliver(vec![message.clone()]).await;
        inventory.deliver(vec![message.clone()]).await;
        assert_eq!(inventory.said().await, [], "{message:?}");
        assert_eq!(inventory.everything().await, once, "{message:?}");
    }
    inventory.finish().await;
}

#[tokio::test]
async fn the_same_fact_in_a_new_message_changes_nothing() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 100).await;
    for (number, (before, event, says, says_again, state)) in (1..).zip(CASES) {
        let (saga, order) = order(number, &[("A", 3)]);
        for body in before {
            inventory.tell(saga, &order, body.clone()).await;
        }
        inventory.said().await;
        inventory.tell(saga, &order, event.clone()).await;
        assert_eq!(inventory.said().await, says, "{event:?}");
        let once = inventory.everything().await;
        inventory.tell(saga, &order, event.clone()).await;
        assert_eq!(inventory.said().await, says_again, "{event:?}");
        assert_eq!(inventory.everything().await, once, "{event:?}");
        // And twice in one batch.
        inventory.deliver(vec![message(saga, &order, &event), message(saga, &order, &event)]).await;
        assert_eq!(inventory.said().await, [says_again, says_again].concat(), "{event:?}");
        assert_eq!(inventory.everything().await, once, "{event:?}");
        assert_eq!(inventory.state_of(saga).await, Some(state), "{event:?}");
    }
    inventory.finish().await;
}

#[tokio::test]
async fn a_message_that_comes_twice_at_once_counts_once() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 100).await;
    let (saga, order) = order(1, &[("A", 3)]);
    let twice = |message: (MessageId, Event)| vec![message.clone(), message];
    inventory.deliver(twice(message(saga, &order, &EventBody::OrderCreated))).await;
    inventory.deliver(twice(message(saga, &order, &CANCEL))).await;
    assert_eq!(inventory.said().await, [EventBody::StockReserved, EventBody::StockReleased]);
    inventory.finish().await;
}

#[tokio::test]
async fn a_parked_message_is_parked_once() {
    let mut inventory = Harness::start().await;
    let (saga, order) = order(1, &[("A", 3)]);
    let message = message(saga, &order, &EventBody::OrderConfirmed);
    for _ in 0..3 {
        inventory.deliver(vec![message.clone()]).await;
    }
    inventory.parked(1).await;
    inventory.finish().await;
}

#[tokio::test]
async fn a_command_that_is_sent_again_is_safe() {
    let inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    inventory.stock("A", 10).await;
    assert_eq!(inventory.numbers("A").await, (10, 0, 0));
    let reserved = inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 4})).await;
    // What is held stays held when the stock is set again.
    inventory.stock("A", 10).await;
    assert_eq!(inventory.numbers("A").await, (10, 4, 0));
    let release = json!({"reservation_id": reserved.body["reservation_id"]});
    for status in [200, 400, 400] {
        assert_eq!(inventory.post("/api/v1/stock/release", &release).await.status, status);
        assert_eq!(inventory.numbers("A").await, (14, 0, 0));
    }
    inventory.finish().await;
}
