//! The relay, with brokers that refuse, do not answer, or lose the connection.

use std::collections::HashSet;

use futures::future::join_all;
use rstest::rstest;
use saga_database::{Writes, tables::outbox};
use saga_runtime::{Cause, EngineSettings, broker::PublishResult};
use sea_orm::{DbBackend, EntityTrait as _, TransactionTrait as _};
use shared_events::{EventBody, MessageId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use crate::{
    counting_participant::Command,
    engine_harness::{EngineHarness, Plan, event, outgoing},
    scripted::{Reaction, Scripted, broker},
    wait::{A_WHILE, stays_pending, until, within_timeout},
};

pub(crate) const CONFIRM: Reaction = Reaction::Say(PublishResult::Confirmed);
/// Maximum number of events that wait for a confirm; see `relay/in_flight.rs`.
const WINDOW: usize = 4_096;

fn unroutable() -> PublishResult {
    PublishResult::Unroutable(vec!["payment".to_owned()])
}

/// Each event is a message.
pub(crate) fn single() -> Plan {
    Plan { settings: EngineSettings { max_events: 1, ..EngineSettings::default() }, ..Plan::default() }
}

pub(crate) fn roomy() -> Plan {
    Plan { settings: EngineSettings { max_waiting: 10_000, max_events: 1, ..EngineSettings::default() }, ..single() }
}

/// Has this many events committed at once.
pub(crate) async fn announce(engine: &EngineHarness, count: i64) {
    let announce = |order| Command::Announce(event(order, 1, EventBody::OrderCreated));
    let asks = (1..=count).map(|order| engine.mailbox.ask(announce(order).with_reply(), Cause::new()));
    let replies = within_timeout("the events are committed", join_all(asks)).await;
    assert!(replies.iter().all(Result::is_ok));
}

#[rstest]
#[tokio::test]
async fn a_full_outbox_is_published_in_order_a_window_at_a_time(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), Plan { relay: false, ..roomy() }).await;
    announce(&engine, 5_000).await;
    let waiting = engine.in_the_outbox().await;
    assert_eq!(waiting.len(), 5_000);
    engine.crash().await;

    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    assert_eq!(engine.outbox.depth(), 5_000);
    until("a window is published", async || scripted.published().len() >= WINDOW).await;
    stays_pending("no more", until("", async || scripted.published().len() > WINDOW)).await;
    scripted.now(|_| CONFIRM);
    scripted.confirm(&scripted.published());
    within_timeout("all is published", engine.outbox.empty()).await;
    assert_eq!(scripted.published(), waiting, "each once, and in order");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn only_a_confirmation_deletes(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 3).await;
    until("they are published", async || scripted.published().len() == 3).await;
    stays_pending("without a word they stay", engine.outbox.empty()).await;
    let waiting = engine.in_the_outbox().await;
    assert_eq!(waiting, scripted.published());
    scripted.confirm(&waiting[1..2]);
    until("one is deleted", async || engine.outbox.depth() == 2).await;
    assert_eq!(engine.in_the_outbox().await, [waiting[0], waiting[2]]);
    // A confirm of a message that was not published deletes nothing.
    scripted.confirm(&[MessageId(Uuid::now_v7()), waiting[1]]);
    scripted.confirm(&waiting);
    engine.finish().await;
    assert_eq!(scripted.published(), waiting);
}

#[rstest]
#[tokio::test]
async fn what_no_queue_takes_rests_and_the_others_go_on(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| CONFIRM));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    until("it publishes", async || engine.is_up("broker")).await;
    let mut first = true;
    scripted.now(move |_| match std::mem::take(&mut first) {
        true => Reaction::Say(unroutable()),
        false => CONFIRM,
    });
    // All have the same routing key. They count as unroutable until one with this key is routed again.
    announce(&engine, 1).await;
    until("it is seen", async || !engine.is_up("broker")).await;
    let failure = engine.readiness.snapshot().into_iter().find(|one| one.name == "broker").unwrap().down;
    assert_eq!(failure.as_deref(), Some("no queue takes events for payment"));
    announce(&engine, 2).await;
    until("the others are confirmed", async || engine.is_up("broker")).await;
    within_timeout("and so is the first, after its rest", engine.outbox.empty()).await;
    let published = scripted.published();
    assert_eq!(published.iter().filter(|message| **message == published[0]).count(), 2);
    assert_eq!((published.len(), published[3]), (4, published[0]));
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn of_many_that_no_queue_takes_one_is_tried_at_a_time_until_it_is_taken(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Say(unroutable())));
    let engine = EngineHarness::start(&storage, &broker(&scripted), Plan { relay: false, ..roomy() }).await;
    announce(&engine, 20).await;
    let waiting = engine.in_the_outbox().await;
    engine.crash().await;
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    until("the first is tried again and again", async || scripted.published().len() == 23).await;
    assert_eq!(scripted.published(), [&waiting[..], &[waiting[0]; 3]].concat());
    assert!(!engine.is_up("broker"));
    scripted.now(|_| CONFIRM);
    within_timeout("all are published as soon as one is taken", engine.outbox.empty()).await;
    until("it is up again", async || engine.is_up("broker")).await;
    let published = scripted.published();
    assert_eq!(published[published.len() - 19..], waiting[1..]);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_the_broker_refuses_is_tried_again(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| CONFIRM));
    let mut tries = 0;
    scripted.now(move |_| {
        tries += 1;
        if tries <= 2 { Reaction::Say(PublishResult::Refused) } else { CONFIRM }
    });
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 1).await;
    within_timeout("it is taken at last", engine.outbox.empty()).await;
    assert_eq!(scripted.published().len(), 3);
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_connection_that_breaks_loses_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    // The connection breaks now and then while 200 messages are published, without outcomes for the earlier ones.
    let mut count = 0;
    let script = move |_: &_| {
        count += 1;
        match count {
            50 | 120 => Reaction::Break,
            _ if count % 7 == 0 && count < 120 => Reaction::Silence,
            _ => CONFIRM,
        }
    };
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(script));
    let engine = EngineHarness::start(&storage, &broker(&scripted), Plan { relay: false, ..roomy() }).await;
    announce(&engine, 200).await;
    let waiting: HashSet<_> = engine.in_the_outbox().await.into_iter().collect();
    engine.crash().await;
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    within_timeout("all is published", engine.outbox.empty()).await;
    let published = scripted.published();
    assert!(published.len() > 200, "some twice");
    assert_eq!(published.into_iter().collect::<HashSet<_>>(), waiting, "and none not at all");
    until("it is up again", async || engine.is_up("broker")).await;
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_broken_connection_republishes_exactly_what_was_not_confirmed(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 4).await;
    until("they are published", async || scripted.published().len() == 4).await;
    let [first, second, third, fourth] = scripted.published().try_into().unwrap();
    // The engine is held up, so the deletions wait. Meanwhile the connection breaks.
    engine.hold().await;
    scripted.confirm(&[second, third]);
    scripted.lose_the_connection();
    until("the others are published again", async || scripted.published().len() == 6).await;
    assert_eq!(scripted.published()[4..], [first, fourth]);
    engine.script.gate.open();
    until("the confirmed ones are deleted", async || engine.in_the_outbox().await == [first, fourth]).await;
    scripted.confirm(&[first, fourth]);
    engine.finish().await;
    assert_eq!(scripted.published().len(), 6);
}

#[rstest]
#[tokio::test]
async fn what_was_confirmed_before_publishing_failed_is_not_published_again(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut count = 0;
    let script = move |_: &_| {
        count += 1;
        if count == 3 { Reaction::Break } else { CONFIRM }
    };
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(script));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    // One batch, so that the relay publishes all of them at once.
    engine.hold().await;
    for order in 1..=3 {
        engine.mailbox.tell(Command::Announce(event(order, 1, EventBody::OrderCreated)).without_reply());
    }
    engine.script.gate.open();
    until("the third is published again", async || scripted.published().len() >= 4).await;
    engine.finish().await;
    let published = scripted.published();
    assert_eq!((published.len(), published[3]), (4, published[2]));
}

#[rstest]
#[tokio::test]
async fn the_sweep_leaves_out_what_is_in_flight(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    within_timeout("rows of any age are swept", engine.database.replica_bus().alone()).await;
    announce(&engine, 3).await;
    until("they are published", async || scripted.published().len() == 3).await;
    put_behind_the_relays_back(&engine, &[(0, 0)]).await;
    until("the sweep has passed them", async || scripted.published().len() > 3).await;
    assert_eq!(scripted.published(), engine.in_the_outbox().await, "each once");
    scripted.confirm(&scripted.published());
    until("all are deleted", async || engine.in_the_outbox().await.is_empty()).await;
    engine.end().await;
}

/// (On PostgreSQL the rows are counted now and then, which would hide a mistake.)
#[tokio::test]
async fn a_message_that_somebody_else_has_deleted_is_not_counted() {
    let (storage, scripted) = (TestDatabase::create(Sqlite), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 2).await;
    until("they are published", async || scripted.published().len() == 2).await;
    let [first, second] = scripted.published().try_into().unwrap();
    let deleted = outbox::Entity::delete_by_id(first.0).exec(&engine.database.writer()).await.unwrap();
    assert_eq!(deleted.rows_affected, 1);
    scripted.confirm(&[first, second]);
    until("the other is deleted", async || engine.in_the_outbox().await.is_empty()).await;
    engine.ask(Command::Count(1)).await.unwrap();
    assert_eq!(engine.outbox.depth(), 1, "only the row that was there is subtracted");
    engine.end().await;
}

#[rstest]
#[tokio::test]
async fn a_window_is_limited_in_bytes_too(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| Reaction::Silence));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    // 64 of them are 16 MiB, and a little more.
    put_behind_the_relays_back(&engine, &[(0, 256 << 10); 100]).await;
    until("a window is published", async || scripted.published().len() == 64).await;
    stays_pending("no more", until("", async || scripted.published().len() > 64)).await;
    scripted.now(|_| CONFIRM);
    scripted.confirm(&scripted.published());
    until("all are deleted", async || engine.in_the_outbox().await.is_empty()).await;
    assert_eq!(scripted.published().len(), 100);
    engine.end().await;
}

/// Puts messages into the outbox as another process would, so that this process has not counted them. Each has been
/// committed at this time, in microseconds since 1970, and a body with so many bytes of padding.
pub(crate) async fn put_behind_the_relays_back(engine: &EngineHarness, messages: &[(i64, usize)]) -> Vec<MessageId> {
    let message = |&(created_at, bytes): &(i64, usize)| {
        let message = outgoing(event(1, 1, EventBody::StockReserved));
        outbox::Model {
            message_id: message.message_id.0,
            routing_key: message.route.routing_key.to_owned(),
            saga_id: message.correlation_id.unwrap(),
            body: message.body.to_string() + &" ".repeat(bytes),
            created_at,
        }
    };
    let rows: Vec<_> = messages.iter().map(message).collect();
    let transaction = engine.database.begin().await.unwrap();
    Writes::default().insert::<outbox::Entity>(&rows).run(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    rows.into_iter().map(|row| MessageId(row.message_id)).collect()
}

#[rstest]
#[tokio::test]
async fn what_nobody_handed_over_is_found_in_the_table(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| CONFIRM));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    let messages = put_behind_the_relays_back(&engine, &[(0, 0)]).await;
    until("it is deleted", async || engine.in_the_outbox().await.is_empty()).await;
    assert_eq!(scripted.published(), messages);
    engine.ask(Command::Count(1)).await.unwrap();
    assert_eq!(engine.outbox.depth(), 0, "the count does not fall below nothing");
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn clients_that_use_all_connections_keep_no_event_from_being_published(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| CONFIRM));
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    until("it publishes", async || engine.is_up("broker")).await;
    let reader = engine.database.reader();
    let connections = match reader.get_database_backend() {
        DbBackend::Postgres => reader.get_postgres_connection_pool().options().get_max_connections(),
        _ => reader.get_sqlite_connection_pool().options().get_max_connections(),
    };
    let mut reading = Vec::new();
    for _ in 0..connections {
        reading.push(within_timeout("a connection", reader.begin()).await.unwrap());
    }
    stays_pending("all of them are in use", reader.begin()).await;
    let messages = put_behind_the_relays_back(&engine, &[(0, 0)]).await;
    until("it is published", async || scripted.published() == messages).await;
    assert!(engine.is_up("broker"));
    drop(reading);
    until("it is deleted", async || engine.in_the_outbox().await.is_empty()).await;
    engine.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_relay_ends_while_the_broker_has_no_room(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, scripted) = (TestDatabase::create(database), Scripted::new(|_| CONFIRM));
    scripted.room.shut();
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    announce(&engine, 10).await;
    assert!(tokio::time::timeout(A_WHILE, engine.outbox.empty()).await.is_err());
    engine.end().await;
    assert_eq!(scripted.published(), []);
    scripted.room.open();
    let engine = EngineHarness::start(&storage, &broker(&scripted), roomy()).await;
    engine.finish().await;
    assert_eq!(scripted.published().len(), 10);
}
