//! Crashes and graceful shutdowns.

use std::collections::HashSet;

use futures::{FutureExt, future::join_all};
use rstest::rstest;
use saga_runtime::{Cause, EngineSettings, Refusal};
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, World, created, event, outgoing},
    scripted::deaf,
    wait::{until, within_timeout},
};

#[rstest]
#[tokio::test]
async fn a_crash_between_commit_and_publishing_loses_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let settings = EngineSettings { max_events: 1, ..EngineSettings::default() };
    let plan = Plan { relay: false, settings, ..Plan::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), plan).await;
    let messages: Vec<_> = (1..=300).map(|order| created(order, 1)).collect();
    world.publish_and_wait(&messages).await;
    let waiting = engine.in_the_outbox().await;
    assert_eq!(waiting.len(), 300);
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    within_timeout("all is published", engine.outbox.empty()).await;
    assert_eq!(world.heard(), waiting);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_crash_between_commit_and_acknowledgement_counts_nothing_twice(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, &deaf(world.participant_broker()), Plan::default()).await;
    let messages: Vec<_> = (1..=20).map(|order| created(order, 1)).collect();
    world.order.publish(&messages).await;
    until("all are committed", async || engine.in_the_inbox().await == 20).await;
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.order.confirmed(20).await;
    for order in 1..=20 {
        assert_eq!(engine.handled(order).await, 1);
    }
    within_timeout("all is published", engine.outbox.empty()).await;
    // The crash may also have come between a confirmation and its deletion: then the same message goes out once more.
    let heard: HashSet<_> = world.heard().into_iter().collect();
    assert_eq!(heard.len(), 20, "nor does anything happen twice");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_crash_in_the_middle_of_a_transaction_leaves_nothing_of_it(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.gate.shut();
    world.order.publish(&[created(1, 1), created(2, 1)]).await;
    until("it has begun", async || !engine.batches().is_empty()).await;
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.order.confirmed(2).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.in_the_inbox().await), (1, 1, 2));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_orderly_end_handles_what_lies_in_the_mailbox(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.hold().await;
    let mut asks: Vec<_> =
        (1..=700).map(|order| Box::pin(engine.mailbox.ask(Command::Count(order).with_reply(), Cause::new()))).collect();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()), "they wait");
    engine.stop.intake.cancel();
    engine.stop.work.cancel();
    engine.script.gate.open();
    let replies = within_timeout("the replies", join_all(asks)).await;
    assert!(replies.iter().all(|reply| *reply == Ok(1)));
    let mailbox = engine.mailbox.clone();
    engine.finish().await;
    // A caller that comes after that is refused.
    let late = within_timeout("a reply", mailbox.ask(Command::Count(1).with_reply(), Cause::new())).await;
    assert_eq!(late, Err(Refusal::Unavailable("the service is stopping".to_owned())));
}

#[rstest]
#[tokio::test]
async fn an_open_question_does_not_hold_the_end_up(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.world.shut();
    let declined = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    world.order.publish(&[outgoing(event(1, 1, declined))]).await;
    let caller = engine.mailbox.ask(Command::Ask(2).with_reply(), Cause::new());
    let end = async {
        until("both are asked", async || engine.script.asked.load(std::sync::atomic::Ordering::SeqCst) == 2).await;
        engine.stop.work.cancel();
    };
    let (reply, ()) = within_timeout("the reply", futures::future::join(caller, end)).await;
    assert_eq!(reply, Err(Refusal::Unavailable("the service is stopping".to_owned())));
    engine.end().await;
    // The event is still in the outbox.
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    world.order.confirmed(1).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await), (1, 0));
    engine.finish().await;
}
