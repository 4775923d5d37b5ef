//! Batches: one transaction each, duplicates dropped, and what happens to a command that fails.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use saga_runtime::{Cause, EngineSettings, Refusal};
use shared_events::EventBody;
use tempfile::tempdir;

use crate::{
    rig::{Plan, Rig, World, created, event},
    tally::{Command, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED, UNACCEPTABLE},
    wait::soon,
};

#[tokio::test]
async fn what_waits_is_one_transaction_up_to_the_limit() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let settings = EngineSettings { max_batch: 8, ..EngineSettings::default() };
    let rig = Rig::start(directory.path(), world.tally(), Plan { settings, ..Plan::default() }).await;
    rig.hold().await;
    let held = rig.batches().len();
    let asks = join_all((0..20).map(|_| rig.mailbox.ask(Command::Count(1), Cause::new())));
    let open = async {
        // `join` polls the questions first, so all of them lie in the mailbox by now.
        rig.script.gate.open();
    };
    let (sums, ()) = soon("the replies", futures::future::join(asks, open)).await;
    assert_eq!(sums.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!(rig.batches()[held..], [8, 8, 4]);
    assert_eq!(rig.heard_of(1).await, 20);
    rig.finish().await;
}

#[tokio::test]
async fn nothing_of_a_batch_is_seen_before_all_of_it() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let rig = Rig::start(directory.path(), world.tally(), Plan::default()).await;
    rig.hold().await;
    // The second of them cannot be decided, after the first was.
    let asks =
        [Command::Count(1), Command::Announce(event(2, UNACCEPTABLE, EventBody::OrderCreated)), Command::Count(3)];
    let asks = join_all(asks.map(|command| rig.mailbox.ask(command, Cause::new())));
    let (replies, ()) = soon("the replies", futures::future::join(asks, async { rig.script.gate.open() })).await;
    assert_eq!(replies, [Ok(1), Err(Refusal::Internal), Ok(1)], "each is counted once, though they were tried twice");
    assert_eq!((rig.heard_of(1).await, rig.heard_of(2).await, rig.heard_of(3).await), (1, 0, 1));
    rig.finish().await;
}

#[tokio::test]
async fn a_message_counts_once_however_often_it_comes() {
    let (directory, mut world) = (tempdir().unwrap(), World::begin().await);
    let rig = Rig::start(directory.path(), world.tally(), Plan::default()).await;
    let (one, other) = (created(1, 1), created(2, 1));
    // In one batch, and again later.
    rig.hold().await;
    world.order.say(&[one.clone(), one.clone(), other.clone(), one.clone()]).await;
    rig.script.gate.open();
    world.order.hear_confirmed(4).await;
    world.told(&[other.clone(), one.clone(), other]).await;
    assert_eq!((rig.heard_of(1).await, rig.heard_of(2).await), (1, 1));
    assert_eq!(rig.in_the_inbox().await, 2);
    // Another message about the same order is no duplicate.
    world.told(&[created(1, 1)]).await;
    assert_eq!(rig.heard_of(1).await, 2);
    assert_eq!(rig.dead_letters().await, []);
    rig.finish().await;
}

#[tokio::test]
async fn what_was_handled_is_a_duplicate_also_where_it_could_not_be_decided_again() {
    let (directory, mut world) = (tempdir().unwrap(), World::begin().await);
    let rig = Rig::start(directory.path(), world.tally(), Plan::default()).await;
    let message = created(1, UNACCEPTABLE);
    rig.script.cured.store(true, Ordering::SeqCst);
    world.told(std::slice::from_ref(&message)).await;
    rig.script.cured.store(false, Ordering::SeqCst);
    rig.hold().await;
    world.order.say(&[created(2, 1), message, created(3, 1)]).await;
    rig.script.gate.open();
    world.order.hear_confirmed(3).await;
    assert_eq!((rig.heard_of(1).await, rig.heard_of(2).await, rig.heard_of(3).await), (1, 1, 1));
    assert_eq!(rig.dead_letters().await, []);
    rig.finish().await;
}

#[tokio::test]
async fn a_command_that_fails_fails_alone() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let rig = Rig::start(directory.path(), world.tally(), Plan::default()).await;
    for trouble in [UNACCEPTABLE, PANICS_WHEN_DECIDED, PANICS_WHEN_SAVED] {
        let command = Command::Announce(event(7, trouble, EventBody::OrderCreated));
        assert_eq!(rig.ask(command).await, Err(Refusal::Internal));
    }
    assert_eq!((rig.heard_of(7).await, rig.outbox.depth()), (0, 0));
    assert_eq!(rig.ask(Command::Count(7)).await, Ok(1));
    assert_eq!(rig.dead_letters().await, [], "only messages are parked");
    rig.finish().await;
}

#[tokio::test]
async fn one_command_too_many_is_refused_at_once() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let settings = EngineSettings { max_waiting: 2, ..EngineSettings::default() };
    let rig = Rig::start(directory.path(), world.tally(), Plan { settings, ..Plan::default() }).await;
    rig.hold().await;
    let ask = || rig.mailbox.ask(Command::Count(1), Cause::new());
    let third = async {
        let refused = ask().await;
        rig.script.gate.open();
        refused
    };
    let (first, second, third) = soon("the replies", futures::future::join3(ask(), ask(), third)).await;
    assert_eq!((first, second, third), (Ok(1), Ok(2), Err(Refusal::Overloaded)));
    assert_eq!(rig.ask(Command::Count(1)).await, Ok(3), "the places are free again");
    rig.finish().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_gives_its_place_back_and_its_command_is_carried_out() {
    let (directory, world) = (tempdir().unwrap(), World::begin().await);
    let settings = EngineSettings { max_waiting: 1, ..EngineSettings::default() };
    let rig = Rig::start(directory.path(), world.tally(), Plan { settings, ..Plan::default() }).await;
    rig.hold().await;
    let gone = rig.mailbox.ask(Command::Count(1), Cause::new());
    assert!(futures::poll!(Box::pin(gone)).is_pending(), "and is dropped here");
    assert_eq!(rig.ask(Command::Count(1)).await, Err(Refusal::Overloaded), "the command still waits");
    rig.script.gate.open();
    crate::wait::until("the place is free", async || rig.ask(Command::Count(2)).await.is_ok()).await;
    assert_eq!(rig.heard_of(1).await, 1);
    rig.finish().await;
}
