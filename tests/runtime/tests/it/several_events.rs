//! Messages with several events: what one transaction publishes, and what becomes of an event that cannot be handled.

use std::sync::atomic::Ordering;

use futures::future::join_all;
use rstest::rstest;
use saga_database::tables::{dead_letter, outbox};
use saga_message::framing;
use saga_runtime::{Cause, EngineSettings, Redriven, broker::Outgoing};
use sea_orm::EntityTrait;
use shared_events::{Envelope, EventBody, FailureReason, MessageId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use crate::{
    counting_participant::{CANNOT_BE_SAVED, Command, PANICS_WHEN_DECIDED, UNACCEPTABLE},
    dead_letter_queue::giving_up,
    engine_harness::{EngineHarness, Plan, World, created, event, outgoing, raw},
    wait::{until, within_timeout},
};

/// One message with the events of these.
fn together(messages: &[Outgoing]) -> Outgoing {
    let bodies: Vec<String> = messages.iter().map(|message| message.body.to_string()).collect();
    let body = framing::join(&bodies);
    Outgoing {
        message_id: framing::batch_id(body.as_bytes(), bodies[0].as_bytes()),
        correlation_id: None,
        events: messages.len(),
        body: body.into(),
        ..messages[0].clone()
    }
}

fn without_relay() -> Plan {
    Plan { relay: false, ..Plan::default() }
}

/// Lets the engine commit all of these orders in one transaction.
async fn announce(engine: &EngineHarness, orders: impl Iterator<Item = i64>) {
    engine.hold().await;
    let announce = |order| Command::Announce(event(order, 1, EventBody::OrderCreated)).with_reply();
    let asks = join_all(orders.map(|order| engine.mailbox.ask(announce(order), Cause::new())));
    let (replies, ()) =
        within_timeout("the replies", futures::future::join(asks, async { engine.script.gate.open() })).await;
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
}

async fn rows(engine: &EngineHarness) -> Vec<outbox::Model> {
    let mut rows = outbox::Entity::find().all(&engine.database.reader()).await.unwrap();
    rows.sort_by_key(|row| row.message_id);
    rows
}

fn orders(row: &outbox::Model) -> Vec<i64> {
    let events = framing::split(row.body.as_bytes()).unwrap();
    events.into_iter().map(|event| Envelope::decode(event).unwrap().event.order.order_id.0).collect()
}

#[rstest]
#[tokio::test]
async fn what_a_transaction_publishes_is_one_message_up_to_the_limit(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), without_relay()).await;
    announce(&engine, 1..=300).await;
    let sent: Vec<Vec<i64>> = rows(&engine).await.iter().map(orders).collect();
    assert_eq!(sent.iter().map(Vec::len).sum::<usize>(), 300);
    for (row, orders) in rows(&engine).await.iter().zip(&sent) {
        assert!(row.body.len() <= framing::MAX_BYTES && orders.len() <= framing::MAX_EVENTS);
        assert!(orders.is_sorted(), "an event keeps its place");
        assert_eq!(row.saga_id, Uuid::nil(), "it has many sagas");
    }
    assert!(sent.len() <= 5, "about 60 KiB of events a hundred: {}", sent.len());
    // An event alone looks as it always did.
    engine.ask(Command::Announce(event(301, 1, EventBody::OrderCreated))).await.unwrap();
    let alone = rows(&engine).await.into_iter().find(|row| orders(row) == [301]).unwrap();
    let envelope = Envelope::decode(alone.body.as_bytes()).unwrap();
    assert_eq!((alone.message_id, alone.saga_id), (envelope.header.id.0, envelope.event.saga_id.0));
    engine.end().await;
}

#[rstest]
#[tokio::test]
async fn during_a_rolling_upgrade_each_event_can_be_a_message(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let settings = EngineSettings { max_events: 1, ..EngineSettings::default() };
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan { settings, ..without_relay() }).await;
    announce(&engine, 1..=20).await;
    let rows = rows(&engine).await;
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| Envelope::decode(row.body.as_bytes()).unwrap().header.id.0 == row.message_id));
    engine.end().await;
}

#[rstest]
#[tokio::test]
async fn one_event_of_fifty_is_dead_lettered_alone(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let poison = [(7, PANICS_WHEN_DECIDED), (20, UNACCEPTABLE), (33, CANNOT_BE_SAVED), (50, CANNOT_BE_SAVED)];
    let units = |order: i64| poison.iter().find(|(poisoned, _)| *poisoned == order).map_or(1, |(_, units)| *units);
    let mut events: Vec<Outgoing> = (1..=50).map(|order| created(order, units(order))).collect();
    events[0].body = events[0].body.replace("order.created", "order.eaten").into();
    let message = together(&events);
    world.publish_and_wait(std::slice::from_ref(&message)).await;
    let is_poison = |order: i64| order == 1 || units(order) != 1;
    for order in 1..=50 {
        assert_eq!(engine.handled(order).await, i64::from(!is_poison(order)), "{order}");
    }
    let mut letters = engine.dead_letters().await;
    letters.sort_by_key(|letter| letter.subject.as_ref().map(|order| order.parse::<i64>().unwrap()));
    let bodies: Vec<&[u8]> = letters.iter().map(|letter| &*letter.body).collect();
    let expected = [0, 6, 19, 32, 49].map(|index: usize| events[index].body.as_bytes());
    assert_eq!(bodies, expected, "each is kept as it came");
    let ids: Vec<Uuid> = letters.iter().skip(1).map(|letter| letter.message_id).collect();
    assert_eq!(ids, [6, 19, 32, 49].map(|index: usize| events[index].message_id.0));
    assert_eq!(engine.in_the_inbox().await, 1, "a message is one row");

    // Delivered again, nothing of it is handled again.
    world.publish_and_wait(&[message]).await;
    assert_eq!((engine.handled(2).await, engine.dead_letters().await.len()), (1, 5));

    // Its dead letters can be redriven, each for itself.
    engine.script.cured.store(true, Ordering::SeqCst);
    for letter in &letters[1..] {
        assert_eq!(engine.mailbox.redrive(letter).await, Ok(Redriven::Handled));
        assert_eq!(engine.mailbox.redrive(letter).await, Ok(Redriven::Gone));
    }
    for order in 2..=50 {
        assert_eq!(engine.handled(order).await, 1, "{order}");
    }
    assert_eq!(engine.dead_letters().await.len(), 1);
    within_timeout("all is published", engine.outbox.empty()).await;
    assert_eq!(world.heard().len(), 49, "each is announced once");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_of_nothing_but_poison_blocks_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let poison = together(&[1, 2, 3].map(|order| created(order, CANNOT_BE_SAVED)));
    world.publish_and_wait(&[poison, together(&[4, 5].map(|order| created(order, 1)))]).await;
    assert_eq!((engine.handled(3).await, engine.handled(4).await, engine.handled(5).await), (0, 1, 1));
    assert_eq!((engine.dead_letters().await.len(), engine.in_the_inbox().await), (3, 2));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_the_broker_gave_up_on_is_taken_apart(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let (broker, dead_letter_queue) = giving_up(world.participant_broker());
    let engine = EngineHarness::start(&storage, &broker, Plan::default()).await;
    let consumer = tokio::spawn(saga_runtime::consume(
        broker,
        engine.mailbox.clone(),
        saga_runtime::Source::DeadLetters,
        engine.stop.intake.clone(),
    ));
    let events: Vec<Outgoing> = (1..=3).map(|order| created(order, 1)).collect();
    let message = together(&events);
    dead_letter_queue.add(&message, "given up", 100);
    until("it is acknowledged", async || dead_letter_queue.acknowledged() == 1).await;
    let mut letters: Vec<MessageId> =
        engine.dead_letters().await.into_iter().map(|letter| MessageId(letter.message_id)).collect();
    letters.sort();
    assert_eq!(letters, events.iter().map(|event| event.message_id).collect::<Vec<_>>());
    assert_eq!(engine.handled(1).await, 0, "it may be what crashes its consumers");

    // One that was handled before it was given up leaves nothing to redrive.
    let handled = together(&[created(4, 1), created(5, 1)]);
    world.publish_and_wait(std::slice::from_ref(&handled)).await;
    dead_letter_queue.add(&handled, "given up", 100);
    until("it is acknowledged", async || dead_letter_queue.acknowledged() == 2).await;
    assert_eq!((engine.dead_letters().await.len(), engine.handled(4).await), (3, 1));

    // What cannot be taken apart is kept whole.
    let broken = Outgoing { body: message.body.strip_suffix(']').unwrap().into(), ..message };
    dead_letter_queue.add(&broken, "given up", 100);
    until("it is acknowledged", async || dead_letter_queue.acknowledged() == 3).await;
    let letters = engine.dead_letters().await;
    assert!(letters.len() == 4 && letters.iter().any(|letter| letter.body == broken.body.as_bytes()));
    engine.finish().await;
    within_timeout("the consumer ends", consumer).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn what_an_earlier_version_dead_lettered_whole_can_be_redriven(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    let events = [created(1, 1), created(2, UNACCEPTABLE), created(3, 1)];
    let letter = dead_letter::Model {
        message_id: Uuid::now_v7(),
        reason: "not a CloudEvent in JSON".to_owned(),
        attempts: 1,
        event: None,
        subject: None,
        body: together(&events).body.as_bytes().to_vec(),
        dead_lettered_at: engine.database.clock().now().unix_micros(),
    };
    let row: dead_letter::ActiveModel = letter.clone().into();
    dead_letter::Entity::insert(row).exec(&engine.database.writer()).await.unwrap();
    assert_eq!(engine.mailbox.redrive(&letter).await, Ok(Redriven::Handled));
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.handled(3).await), (1, 0, 1));
    let left: Vec<Uuid> = engine.dead_letters().await.into_iter().map(|letter| letter.message_id).collect();
    assert_eq!(left, [events[1].message_id.0], "what cannot be handled is a dead letter of its own now");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_event_of_a_message_waits_for_the_call_of_another(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.world.shut();
    let declined =
        |order| outgoing(event(order, 1, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }));
    let message = together(&[created(2, 1), declined(1), raw("{}"), created(3, UNACCEPTABLE), declined(4)]);
    world.order.publish(std::slice::from_ref(&message)).await;
    until("both calls are open", async || engine.script.asked.load(Ordering::SeqCst) == 2).await;
    until("the others are dead-lettered or handled", async || engine.dead_letters().await.len() == 2).await;
    until("the others are dead-lettered or handled", async || engine.handled(2).await == 1).await;
    assert_eq!((engine.handled(1).await, engine.handled(4).await), (0, 0));
    // It is not acknowledged before the last of them, so that nothing is lost.
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    engine.script.refusals.store(1, Ordering::SeqCst);
    world.order.confirmed(1).await;
    let handled = [engine.handled(1).await, engine.handled(2).await, engine.handled(4).await];
    assert_eq!((handled, engine.script.asked.load(Ordering::SeqCst)), ([1, 1, 1], 3), "a call that failed is repeated");
    assert_eq!(engine.dead_letters().await.len(), 2);
    world.publish_and_wait(&[message]).await;
    assert_eq!((engine.handled(1).await, engine.handled(2).await, engine.handled(4).await), (1, 1, 1));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_crash_between_commit_and_publishing_changes_no_message(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let engine = EngineHarness::start(&storage, world.participant_broker(), without_relay()).await;
    announce(&engine, 1..=30).await;
    let before = rows(&engine).await;
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), without_relay()).await;
    assert_eq!(rows(&engine).await, before);
    engine.crash().await;
    let engine = EngineHarness::start(&storage, world.participant_broker(), Plan::default()).await;
    within_timeout("all is published", engine.outbox.empty()).await;
    let mut heard = world.heard();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 30);
    engine.finish().await;
}
