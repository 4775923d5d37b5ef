//! Messages that the broker itself has dead-lettered.

use rstest::rstest;
use serde_json::json;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use super::service_harness::ServiceHarness;
use crate::{
    dead_letter_queue::giving_up,
    engine_harness::{World, created, raw},
    wait::until,
};

#[rstest]
#[tokio::test]
async fn it_is_dead_lettered_unhandled_with_the_brokers_reason_and_can_be_redriven(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let (readable, nonsense) = (created(7, 1), raw("nonsense"));
    let (broker, dead_letters) = giving_up(world.participant_broker());
    let service = ServiceHarness::start(&storage, &broker).await;
    for message in [&readable, &nonsense, &readable] {
        dead_letters.add(message, "delivered too often", 20);
    }
    until("all are acknowledged", async || dead_letters.acknowledged() == 3).await;

    let filed = Uuid::new_v5(&Uuid::NAMESPACE_OID, nonsense.body.as_bytes());
    let list = service.list().await;
    assert_eq!(list.len(), 2, "one row a message, however often it comes");
    assert_eq!(service.in_the_inbox().await, 0, "nothing was handled");
    let named = format!("delivered too often (message_id {})", nonsense.message_id);
    for (id, reason, event, order) in [
        (readable.message_id.0, "delivered too often", json!("OrderCreated"), json!("7")),
        (filed, &*named, json!(null), json!(null)),
    ] {
        let letter = list.iter().find(|letter| letter["message_id"] == json!(id)).unwrap();
        assert_eq!((&letter["reason"], &letter["attempts"]), (&json!(reason), &json!(21)));
        assert_eq!((&letter["event"], &letter["subject"]), (&event, &order));
    }
    assert_eq!(service.redrive(readable.message_id.0).await.1["outcome"], "HANDLED");
    assert_eq!(service.redrive(filed).await.1["outcome"], "FAILED_AGAIN");
    assert_eq!(service.handled(7).await, 1);
    service.finish(1).await;
}

#[rstest]
#[tokio::test]
async fn a_lost_connection_is_opened_again(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let (broker, dead_letters) = giving_up(world.participant_broker());
    let service = ServiceHarness::start(&storage, &broker).await;
    dead_letters.add(&created(1, 1), "delivered too often", 20);
    until("it is acknowledged", async || dead_letters.acknowledged() == 1).await;
    dead_letters.lose_the_connection();
    dead_letters.add(&created(2, 1), "delivered too often", 20);
    until("the next one is too", async || dead_letters.acknowledged() == 2).await;
    service.finish(2).await;
}
