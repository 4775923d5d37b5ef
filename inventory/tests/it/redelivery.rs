//! Each input twice: the same message again, which the inbox drops, and the same fact in a new message, which the
//! domain recognizes.

use inventory::domain::State;
use rstest::rstest;
use serde_json::json;
use shared_events::EventBody;
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{
    harness::{Harness, message},
    saga::{CANCEL, DECLINED, order},
};

/// The events that lead to a state; the event that is then repeated; the events that it publishes; those that it
/// publishes again for a new message; the state.
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

#[rstest]
#[tokio::test]
async fn the_same_message_has_no_second_effect(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 100).await;
    for (number, (before, event, published, _, state)) in (1..).zip(CASES) {
        let (saga, order) = order(number, &[("A", 3)]);
        for body in before {
            inventory.publish(saga, &order, body.clone()).await;
        }
        inventory.events().await;
        let message = message(saga, &order, &event);
        inventory.publish_all([&message]).await;
        assert_eq!(inventory.events().await, published, "{message:?}");
        assert_eq!(inventory.state_of(saga).await, Some(state), "{message:?}");
        let once = inventory.everything().await;
        inventory.publish_all([&message]).await;
        inventory.publish_all([&message]).await;
        assert_eq!(inventory.events().await, [], "{message:?}");
        assert_eq!(inventory.everything().await, once, "{message:?}");
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_same_fact_in_a_new_message_changes_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 100).await;
    for (number, (before, event, published, published_again, state)) in (1..).zip(CASES) {
        let (saga, order) = order(number, &[("A", 3)]);
        for body in before {
            inventory.publish(saga, &order, body.clone()).await;
        }
        inventory.events().await;
        inventory.publish(saga, &order, event.clone()).await;
        assert_eq!(inventory.events().await, published, "{event:?}");
        let once = inventory.everything().await;
        inventory.publish(saga, &order, event.clone()).await;
        assert_eq!(inventory.events().await, published_again, "{event:?}");
        assert_eq!(inventory.everything().await, once, "{event:?}");
        // And twice in one batch.
        inventory.publish_all([&message(saga, &order, &event), &message(saga, &order, &event)]).await;
        assert_eq!(inventory.events().await, [published_again, published_again].concat(), "{event:?}");
        assert_eq!(inventory.everything().await, once, "{event:?}");
        assert_eq!(inventory.state_of(saga).await, Some(state), "{event:?}");
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_comes_twice_at_once_counts_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 100).await;
    let (saga, order) = order(1, &[("A", 3)]);
    for body in [EventBody::OrderCreated, CANCEL] {
        let message = message(saga, &order, &body);
        inventory.publish_all([&message, &message]).await;
    }
    assert_eq!(inventory.events().await, [EventBody::StockReserved, EventBody::StockReleased]);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_is_dead_lettered_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    let (saga, order) = order(1, &[("A", 3)]);
    let message = message(saga, &order, &EventBody::OrderConfirmed);
    for _ in 0..3 {
        inventory.publish_all([&message]).await;
    }
    inventory.dead_letters(1).await;
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_command_that_is_sent_again_is_safe(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.stock("A", 10).await;
    assert_eq!(inventory.units("A").await, (10, 0, 0));
    let reserved = inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 4})).await;
    // What is held stays held when the stock is set again.
    inventory.stock("A", 10).await;
    assert_eq!(inventory.units("A").await, (10, 4, 0));
    let release = json!({"reservation_id": reserved.body["reservation_id"]});
    for status in [200, 400, 400] {
        assert_eq!(inventory.post("/api/v1/stock/release", &release).await.status, status);
        assert_eq!(inventory.units("A").await, (14, 0, 0));
    }
    inventory.finish().await;
}
