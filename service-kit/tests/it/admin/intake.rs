//! What the broker itself gave up on.

use serde_json::json;
use tempfile::tempdir;

use super::station::Station;
use crate::{
    graveyard::giving_up,
    rig::{World, created, raw},
    wait::until,
};

#[tokio::test]
async fn it_is_parked_unhandled_with_the_brokers_reason_and_can_be_driven() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let (readable, nonsense) = (created(7, 1), raw("nonsense"));
    let (broker, graveyard) = giving_up(world.tally());
    let station = Station::start(directory.path(), &broker).await;
    for message in [&readable, &nonsense, &readable] {
        graveyard.bury(message, "delivered too often", 20);
    }
    until("all are acknowledged", async || graveyard.acknowledged() == 3).await;

    let list = station.list().await;
    assert_eq!(list.len(), 2, "one row a message, however often it comes");
    assert_eq!(station.in_the_inbox().await, 0, "nothing was handled");
    for (letter, message, event, order) in
        [(&list[0], &readable, json!("OrderCreated"), json!(7)), (&list[1], &nonsense, json!(null), json!(null))]
    {
        assert_eq!(letter["message_id"], json!(message.message_id.0));
        assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("delivered too often"), &json!(21)));
        assert_eq!((&letter["event"], &letter["order_id"]), (&event, &order));
    }
    assert_eq!(station.redrive(readable.message_id.0).await.1["outcome"], "HANDLED");
    assert_eq!(station.redrive(nonsense.message_id.0).await.1["outcome"], "PARKED_AGAIN");
    assert_eq!(station.heard_of(7).await, 1);
    station.finish(1).await;
}

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let (broker, graveyard) = giving_up(world.tally());
    let station = Station::start(directory.path(), &broker).await;
    graveyard.bury(&created(1, 1), "delivered too often", 20);
    until("it is acknowledged", async || graveyard.acknowledged() == 1).await;
    graveyard.lose_the_connection();
    graveyard.bury(&created(2, 1), "delivered too often", 20);
    until("the next one is too", async || graveyard.acknowledged() == 2).await;
    station.finish(2).await;
}
