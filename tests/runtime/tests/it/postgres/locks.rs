//! Rows and tables that another session keeps locked.

use saga_runtime::Refusal;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction};
use testkit::service::{DatabaseKind::Postgres, TestDatabase};

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, World, created, open},
    wait::until,
};

/// A separate session that has run this statement and holds its locks.
async fn locking(storage: &TestDatabase, sql: &str) -> DatabaseTransaction {
    let transaction = open(storage).await.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction
}

fn locked<T>() -> Result<T, Refusal> {
    Err(Refusal::Unavailable("another session keeps locked what this needs".to_owned()))
}

#[tokio::test]
async fn only_who_needs_a_locked_row_waits_for_it() {
    let (storage, mut world) = (TestDatabase::create(Postgres), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.publish_and_wait(&[created(1, 1), created(2, 1)]).await;
    let lock = locking(&storage, "SELECT FROM counts WHERE order_id = 1 FOR UPDATE").await;

    // In one batch: one input that needs the row, and forty that do not.
    engine.hold().await;
    let waits = created(1, 1);
    world.order.publish(std::slice::from_ref(&waits)).await;
    let others: Vec<_> = (2..42).map(|order| created(order, 1)).collect();
    world.order.publish(&others).await;
    until("all are delivered", async || world.participant_broker().queue().unwrap().ready == 0).await;
    engine.script.gate.open();
    let confirmed = world.order.confirmed(others.len()).await;
    assert_eq!(confirmed, saga_runtime::conformance::ids(&others), "all but the first");

    // A caller that needs the row is refused; callers that need other rows are served.
    assert_eq!(engine.ask(Command::Count(1)).await, locked());
    assert_eq!(engine.ask(Command::Count(2)).await, Ok(3));
    until("it is seen", async || !engine.is_up("database")).await;
    assert_eq!(engine.ask(Command::Count(3)).await, Ok(2), "it works all the same");
    assert!(!engine.is_up("database"), "and says that something waits");

    lock.rollback().await.unwrap();
    assert_eq!(world.order.confirmed(1).await, [waits.message_id]);
    until("it is over", async || engine.is_up("database")).await;
    assert_eq!((engine.handled(1).await, engine.dead_letters().await), (2, vec![]));
    engine.finish().await;
}

#[tokio::test]
async fn what_waits_for_a_locked_table_is_handled_once_when_it_is_free() {
    let (storage, mut world) = (TestDatabase::create(Postgres), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.publish_and_wait(&[created(1, 1)]).await;
    let lock = locking(&storage, "LOCK TABLE counts, inbox IN ACCESS EXCLUSIVE MODE").await;
    let sent: Vec<_> = (1..=200).map(|order| created(order, 1)).collect();
    world.order.publish(&sent).await;
    assert_eq!(engine.ask(Command::Count(7)).await, locked());
    until("it is seen", async || !engine.is_up("database")).await;
    lock.rollback().await.unwrap();
    world.order.confirmed(sent.len()).await;
    until("it is over", async || engine.is_up("database")).await;
    assert_eq!((engine.handled(1).await, engine.handled(200).await, engine.dead_letters().await), (2, 1, vec![]));
    engine.finish().await;
}

/// If the service ends, no waiting message is lost.
#[tokio::test]
async fn what_waits_for_a_locked_row_comes_again_after_the_end() {
    let (storage, mut world) = (TestDatabase::create(Postgres), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.publish_and_wait(&[created(1, 1)]).await;
    let lock = locking(&storage, "SELECT FROM counts WHERE order_id = 1 FOR UPDATE").await;
    world.order.publish(&[created(1, 1)]).await;
    until("it is seen", async || !engine.is_up("database")).await;
    engine.end().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    lock.rollback().await.unwrap();
    world.order.confirmed(1).await;
    assert_eq!((engine.handled(1).await, engine.dead_letters().await), (2, vec![]));
    engine.finish().await;
}
