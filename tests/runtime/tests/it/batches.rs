//! Batches: one transaction each, duplicates dropped, and what happens to a command that fails.

use std::{ops::RangeInclusive, sync::atomic::Ordering, time::Duration};

use futures::future::join_all;
use rstest::rstest;
use saga_runtime::{Cause, EngineSettings, Refusal, broker::Outgoing};
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

use crate::{
    counting_participant::{Command, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED, UNACCEPTABLE},
    engine_harness::{EngineHarness, Plan, World, created, event, outgoing},
    wait::within_timeout,
};

#[rstest]
#[tokio::test]
async fn what_waits_is_one_transaction_up_to_the_limit(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let settings = EngineSettings { max_batch: 8, ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..Plan::default() }).await;
    engine.hold().await;
    let held = engine.batches().len();
    let asks = join_all((0..20).map(|_| engine.mailbox.ask(Command::Count(1).with_reply(), Cause::new())));
    let open = async {
        // `join` polls the commands first, so all of them are in the mailbox by now.
        engine.script.gate.open();
    };
    let (sums, ()) = within_timeout("the replies", futures::future::join(asks, open)).await;
    assert_eq!(sums.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!(engine.batches()[held..], [8, 8, 4]);
    assert_eq!(engine.handled(1).await, 20);
    engine.finish().await;
}

/// `OrderConfirmed` of these orders, each in a message of its own. Nobody waits for it.
fn confirmed(orders: RangeInclusive<i64>) -> Vec<Outgoing> {
    orders.map(|order| outgoing(event(order, 1, EventBody::OrderConfirmed))).collect()
}

#[rstest]
#[tokio::test]
async fn what_nobody_waits_for_is_committed_with_the_next_event(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let settings =
        EngineSettings { hold_back_for: Duration::from_secs(3_600), max_batch: 16, ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..Plan::default() }).await;
    world.publish_and_wait(&confirmed(1..=8)).await;
    assert_eq!(engine.batches(), [8], "half a batch is enough");
    world.order.publish(&confirmed(9..=11)).await;
    assert_eq!(engine.ask(Command::Count(12)).await, Ok(1));
    assert_eq!(engine.batches(), [8, 1], "a command does not take them along");
    world.order.publish(&[created(13, 1)]).await;
    world.order.confirmed(4).await;
    assert_eq!(engine.batches(), [8, 1, 4], "an event that somebody waits for does");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_nobody_waits_for_does_not_wait_for_ever(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.publish_and_wait(&confirmed(1..=1)).await;
    assert_eq!(engine.handled(1).await, 1);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn nothing_of_a_batch_is_seen_before_all_of_it(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.hold().await;
    // The second command cannot be decided, after the first one was.
    let asks =
        [Command::Count(1), Command::Announce(event(2, UNACCEPTABLE, EventBody::OrderCreated)), Command::Count(3)];
    let asks = join_all(asks.map(|command| engine.mailbox.ask(command.with_reply(), Cause::new())));
    let (replies, ()) =
        within_timeout("the replies", futures::future::join(asks, async { engine.script.gate.open() })).await;
    assert_eq!(replies, [Ok(1), Err(Refusal::Internal), Ok(1)], "each is counted once, though they were tried twice");
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.handled(3).await), (1, 0, 1));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_counts_once_however_often_it_comes(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let (one, other) = (created(1, 1), created(2, 1));
    // Twice in one batch, and again later.
    engine.hold().await;
    world.order.publish(&[one.clone(), one.clone(), other.clone(), one.clone()]).await;
    engine.script.gate.open();
    world.order.confirmed(4).await;
    world.publish_and_wait(&[other.clone(), one.clone(), other]).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await), (1, 1));
    assert_eq!(engine.in_the_inbox().await, 2);
    // Another message about the same order is not a duplicate.
    world.publish_and_wait(&[created(1, 1)]).await;
    assert_eq!(engine.handled(1).await, 2);
    assert_eq!(engine.dead_letters().await, []);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_was_handled_is_a_duplicate_also_where_it_could_not_be_decided_again(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let message = created(1, UNACCEPTABLE);
    engine.script.cured.store(true, Ordering::SeqCst);
    world.publish_and_wait(std::slice::from_ref(&message)).await;
    engine.script.cured.store(false, Ordering::SeqCst);
    engine.hold().await;
    world.order.publish(&[created(2, 1), message, created(3, 1)]).await;
    engine.script.gate.open();
    world.order.confirmed(3).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.handled(3).await), (1, 1, 1));
    assert_eq!(engine.dead_letters().await, []);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_command_that_fails_fails_alone(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    for failure in [UNACCEPTABLE, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED] {
        let command = Command::Announce(event(7, failure, EventBody::OrderCreated));
        assert_eq!(engine.ask(command).await, Err(Refusal::Internal));
    }
    assert_eq!((engine.handled(7).await, engine.outbox.depth()), (0, 0));
    assert_eq!(engine.ask(Command::Count(7)).await, Ok(1));
    assert_eq!(engine.dead_letters().await, [], "only messages are dead-lettered");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn one_command_too_many_is_refused_at_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let settings = EngineSettings { max_waiting: 2, ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..Plan::default() }).await;
    engine.hold().await;
    let ask = || engine.mailbox.ask(Command::Count(1).with_reply(), Cause::new());
    let third = async {
        let refused = ask().await;
        engine.script.gate.open();
        refused
    };
    let (first, second, third) = within_timeout("the replies", futures::future::join3(ask(), ask(), third)).await;
    assert_eq!((first, second, third), (Ok(1), Ok(2), Err(Refusal::Overloaded)));
    assert_eq!(engine.ask(Command::Count(1)).await, Ok(3), "the places are free again");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_caller_that_goes_away_gives_its_place_back_and_its_command_is_carried_out(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let settings = EngineSettings { max_waiting: 1, ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..Plan::default() }).await;
    engine.hold().await;
    let gone = engine.mailbox.ask(Command::Count(1).with_reply(), Cause::new());
    assert!(futures::poll!(Box::pin(gone)).is_pending(), "and is dropped here");
    assert_eq!(engine.ask(Command::Count(1)).await, Err(Refusal::Overloaded), "the command still waits");
    engine.script.gate.open();
    crate::wait::until("the place is free", async || engine.ask(Command::Count(2)).await.is_ok()).await;
    assert_eq!(engine.handled(1).await, 1);
    engine.finish().await;
}
