//! External calls.

use std::sync::atomic::Ordering;

use futures::future::{join, join_all};
use rstest::rstest;
use saga_runtime::{Cause, Refusal};
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, World, event, outgoing},
    wait::{until, within_timeout},
};

fn declined(order: i64) -> saga_runtime::broker::Outgoing {
    outgoing(event(order, 1, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }))
}

#[rstest]
#[tokio::test]
async fn a_question_that_is_answered_at_once_stays_in_its_batch(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.hold().await;
    let held = engine.batches().len();
    let asks = [Command::Count(1), Command::Ask(1), Command::Count(1), Command::Ask(1)];
    let asks = join_all(asks.map(|command| engine.mailbox.ask(command.with_reply(), Cause::new())));
    let (replies, ()) = within_timeout("the replies", join(asks, async { engine.script.gate.open() })).await;
    assert_eq!(replies, [Ok(1), Ok(2), Ok(3), Ok(4)], "and in its place");
    assert_eq!(engine.batches()[held..], [4]);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_slow_answer_holds_nobody_up(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.world.shut();
    world.order.publish(&[declined(1)]).await;
    let slow = engine.mailbox.ask(Command::Ask(1).with_reply(), Cause::new());
    let others = async {
        until("both are asked", async || engine.script.asked.load(Ordering::SeqCst) == 2).await;
        assert_eq!(engine.ask(Command::Count(2)).await, Ok(1));
        assert_eq!(engine.handled(1).await, 0);
        engine.script.world.open();
    };
    let (reply, ()) = within_timeout("the slow reply", join(slow, others)).await;
    assert!(reply.is_ok());
    world.order.confirmed(1).await;
    assert_eq!(engine.handled(1).await, 2);
    assert_eq!(engine.script.asked.load(Ordering::SeqCst), 2, "each was asked once");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_an_answer_a_caller_is_told_and_an_event_is_asked_again(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.refusals.store(1, Ordering::SeqCst);
    assert_eq!(engine.ask(Command::Ask(1)).await, Err(Refusal::Unavailable("the gateway is away".to_owned())));
    engine.script.refusals.store(2, Ordering::SeqCst);
    world.publish_and_wait(&[declined(1)]).await;
    assert_eq!((engine.handled(1).await, engine.dead_letters().await), (1, vec![]));
    assert_eq!(engine.script.asked.load(Ordering::SeqCst), 4);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_question_that_panics_harms_nobody_else(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.panics.store(1, Ordering::SeqCst);
    assert!(matches!(engine.ask(Command::Ask(1)).await, Err(Refusal::Unavailable(_))));
    engine.script.panics.store(1, Ordering::SeqCst);
    world.publish_and_wait(&[declined(1)]).await;
    assert_eq!(engine.ask(Command::Count(1)).await, Ok(2));
    engine.finish().await;
}
