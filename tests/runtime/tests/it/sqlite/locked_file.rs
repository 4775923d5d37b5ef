//! A file that another process keeps locked.

use std::time::Duration;

use saga_runtime::{EngineSettings, Refusal};
use testkit::service::{DatabaseKind::Sqlite, TestDatabase};

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, World, created, open},
};

#[tokio::test]
async fn a_file_that_somebody_else_keeps_locked_is_away() {
    let (storage, mut world) = (TestDatabase::create(Sqlite), World::begin().await);
    // The clock would wait for the lock, too, and the test for both.
    let settings = EngineSettings { tick: Duration::from_secs(3_600), ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..Plan::default() }).await;
    let other = open(&storage).await;
    let lock = other.begin().await.unwrap();
    // It waits for the lock as long as it is set to, ten seconds, and then says no.
    assert_eq!(
        engine.ask(Command::Count(1)).await,
        Err(Refusal::Unavailable("the database is unavailable".to_owned()))
    );
    assert!(!engine.is_up("database"));
    world.order.publish(&[created(1, 1)]).await;
    lock.rollback().await.unwrap();
    world.order.confirmed(1).await;
    assert_eq!((engine.handled(1).await, engine.dead_letters().await), (1, vec![]));
    assert_eq!(engine.ask(Command::Count(1)).await, Ok(2));
    engine.finish().await;
}
