//! Replicas on one database: who publishes what.

use std::collections::HashSet;

use saga_database::{Database, RelayLock};
use shared_events::MessageId;
use testkit::service::{DatabaseKind::Postgres, TestDatabase};
use tokio::task::JoinSet;

use crate::{
    engine_harness::{EngineHarness, open},
    relay::{CONFIRM, announce, put_behind_the_relays_back, roomy},
    scripted::{Reaction, Scripted, broker},
    wait::{stays_pending, until, within_timeout},
};

/// A time that no message reaches in this test, in microseconds since 1970.
const NEVER_OLD: i64 = i64::MAX;

/// The right to sweep, held by somebody who does not use it.
async fn unused_lock(storage: &TestDatabase) -> (Database, RelayLock) {
    let database = open(storage).await;
    let lock = within_timeout("the lock", database.acquire_relay_lock()).await.unwrap().unwrap();
    (database, lock)
}

/// A replica that is connected, and publishes nothing.
async fn silent_replica(storage: &TestDatabase) -> JoinSet<()> {
    let database = open(storage).await;
    let replica_bus = database.replica_bus();
    let mut replica = JoinSet::new();
    replica.spawn(replica_bus.clone().run());
    within_timeout("it is connected", replica_bus.alone()).await;
    replica
}

fn set(messages: Vec<MessageId>) -> HashSet<MessageId> {
    messages.into_iter().collect()
}

#[tokio::test]
async fn each_publishes_what_it_has_committed_and_nothing_else() {
    let storage = TestDatabase::create(Postgres);
    let _lock = unused_lock(&storage).await;
    let (at_a, at_b) = (Scripted::new(|_| Reaction::Silence), Scripted::new(|_| Reaction::Silence));
    let a = EngineHarness::start(&storage, &broker(&at_a), roomy()).await;
    let b = EngineHarness::start(&storage, &broker(&at_b), roomy()).await;
    announce(&a, 20).await;
    let of_a = set(a.in_the_outbox().await);
    announce(&b, 30).await;
    let of_b: HashSet<_> = &set(b.in_the_outbox().await) - &of_a;
    until("both have published", async || (at_a.published().len(), at_b.published().len()) == (20, 30)).await;
    assert_eq!((set(at_a.published()), set(at_b.published())), (of_a, of_b));

    at_a.confirm(&at_a.published());
    within_timeout("its own are published", a.outbox.flushed()).await;
    assert_eq!(set(a.in_the_outbox().await), set(at_b.published()), "only those of the other one are left");
    stays_pending("the other one waits for its own", b.outbox.flushed()).await;
    at_b.confirm(&at_b.published());
    b.finish().await;
    a.finish().await;
    assert_eq!((at_a.published().len(), at_b.published().len()), (20, 30));
}

#[tokio::test]
async fn what_a_broken_connection_left_unconfirmed_is_published_again_without_the_sweep() {
    let storage = TestDatabase::create(Postgres);
    let _lock = unused_lock(&storage).await;
    let scripted = Scripted::new(|_| Reaction::Silence);
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 3).await;
    until("they are published", async || scripted.published().len() == 3).await;
    scripted.lose_the_connection();
    until("they are published again", async || scripted.published().len() == 6).await;
    assert_eq!(scripted.published()[..3], scripted.published()[3..]);
    scripted.confirm(&scripted.published()[3..]);
    engine.finish().await;
}

#[tokio::test]
async fn what_the_hand_off_has_no_room_for_is_published_once_and_without_the_sweep() {
    let storage = TestDatabase::create(Postgres);
    let _lock = unused_lock(&storage).await;
    let scripted = Scripted::new(|_| CONFIRM);
    scripted.room.shut();
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    // More than the relay may have taken, and as much may wait for it in memory.
    announce(&engine, 9_000).await;
    let waiting = set(engine.in_the_outbox().await);
    scripted.room.open();
    within_timeout("all is published", engine.outbox.empty()).await;
    assert_eq!((scripted.published().len(), set(scripted.published())), (9_000, waiting));
    engine.finish().await;
}

#[tokio::test]
async fn what_a_dead_replica_leaves_is_swept_once_it_is_old_or_nobody_else_is_there() {
    let (storage, scripted) = (TestDatabase::create(Postgres), Scripted::new(|_| CONFIRM));
    let other = silent_replica(&storage).await;
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    let messages = put_behind_the_relays_back(&engine, &[(0, 0), (NEVER_OLD, 0)]).await;
    until("the old one is published", async || scripted.published() == messages[..1]).await;
    until("and deleted", async || engine.in_the_outbox().await == messages[1..]).await;
    assert_eq!(scripted.published(), messages[..1], "the other replica may be publishing the young one");
    within_timeout("it does not wait for what others have committed", engine.outbox.flushed()).await;
    drop(other);
    until("the young one is published too", async || scripted.published() == messages).await;
    engine.finish().await;
}

#[tokio::test]
async fn a_replica_without_a_broker_leaves_the_sweep_to_another() {
    let storage = TestDatabase::create(Postgres);
    let (at_a, at_b) = (Scripted::new(|_| CONFIRM), Scripted::new(|_| CONFIRM));
    let a = EngineHarness::start(&storage, &broker(&at_a), roomy()).await;
    let first = put_behind_the_relays_back(&a, &[(0, 0)]).await;
    until("it sweeps", async || at_a.published() == first).await;
    until("and deletes", async || a.in_the_outbox().await.is_empty()).await;
    let b = EngineHarness::start(&storage, &broker(&at_b), roomy()).await;
    until("the other one is connected", async || b.is_up("broker")).await;
    let second = put_behind_the_relays_back(&a, &[(0, 0)]).await;
    until("it still sweeps", async || at_a.published() == [&first[..], &second].concat()).await;

    at_a.refuse_connections(true);
    until("it has lost its broker", async || !a.is_up("broker")).await;
    let third = put_behind_the_relays_back(&a, &[(0, 0)]).await;
    until("the other one sweeps", async || at_b.published() == third).await;
    assert!(!a.is_up("broker") && b.is_up("broker"), "each reports its own connection");
    announce(&a, 1).await;
    at_a.refuse_connections(false);
    until("it publishes its own without the lock", async || at_a.published().len() == 3).await;
    a.finish().await;
    b.finish().await;
}
