//! The database is unavailable: callers are refused at once, and messages wait.

use std::sync::atomic::Ordering;

use rstest::rstest;
use saga_runtime::Refusal;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, World, created},
    wait::{stays_pending, until},
};

fn away() -> Result<i64, Refusal> {
    Err(Refusal::Unavailable("the database is unavailable".to_owned()))
}

#[rstest]
#[tokio::test]
async fn callers_are_refused_for_as_long_as_it_lasts_and_messages_are_handled_after(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    assert_eq!(engine.ask(Command::Count(9)).await, Ok(1));
    engine.script.away.store(true, Ordering::SeqCst);
    world.order.publish(&[created(1, 1), created(2, 1)]).await;
    until("it is noticed", async || !engine.is_up("database")).await;
    // The engine retries messages; a caller does not have to wait behind them.
    for _ in 0..5 {
        assert_eq!(engine.ask(Command::Count(9)).await, away());
    }
    world.order.publish(&[created(3, 1)]).await;
    stays_pending("nothing is acknowledged", world.order.confirmed(1)).await;
    assert!(!engine.is_up("database"));

    engine.script.away.store(false, Ordering::SeqCst);
    world.order.confirmed(3).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.handled(3).await), (1, 1, 1));
    assert_eq!(engine.ask(Command::Count(9)).await, Ok(2), "what was refused was not carried out");
    assert!(engine.is_up("database"));
    assert_eq!(engine.dead_letters().await, []);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_service_that_stops_meanwhile_leaves_its_messages_to_the_next(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.away.store(true, Ordering::SeqCst);
    world.order.publish(&[created(1, 1), created(2, 1)]).await;
    until("it is noticed", async || !engine.is_up("database")).await;
    engine.end().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.order.confirmed(2).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await), (1, 1));
    engine.finish().await;
}
