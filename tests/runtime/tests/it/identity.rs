//! The system that a database belongs to, and what happens to the events of another one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use rstest::rstest;
use saga_database::{
    dead_letter, system_id,
    tables::{MessageTables, outbox},
};
use saga_runtime::{
    IdentitySettings, Redriven, Refusal, broker::Broker, broker::BrokerError, broker::Outgoing, broker::Publication,
    broker::Subscription,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared_events::{Envelope, Header, Service, SystemId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase, execute,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    admin::service_harness::ServiceHarness,
    counting_participant::{Command, Counts},
    dead_letter_queue::giving_up,
    engine_harness::{EngineHarness, Plan, World, created},
    one_system::belongs_to,
    wait::{until, within_timeout},
};

/// Two system ids, created in 2024.
pub(crate) const ONE: &str = "018d0000-0000-7000-8000-000000000001";
pub(crate) const OTHER: &str = "018d0000-0000-7000-8000-000000000002";

pub(crate) fn id(text: &str) -> SystemId {
    text.parse().unwrap()
}

fn new_id() -> SystemId {
    Uuid::now_v7().try_into().unwrap()
}

/// The same message, with a system id.
fn of(system: SystemId, message: &Outgoing) -> Outgoing {
    let envelope = Envelope::decode(message.body.as_bytes()).unwrap();
    let body = Envelope { header: Header { system_id: Some(system), ..envelope.header }, ..envelope }.encode().into();
    Outgoing { body, ..message.clone() }
}

pub(crate) fn settings(system_id: Option<SystemId>) -> IdentitySettings {
    IdentitySettings { system_id, hold: Duration::from_millis(200), ..IdentitySettings::default() }
}

/// An engine whose database belongs to this system.
async fn engine(storage: &TestDatabase, world: &World, identity: IdentitySettings) -> EngineHarness {
    EngineHarness::start(storage, world.participant_broker(), Plan { relay: false, identity, ..Plan::default() }).await
}

/// A broker that counts what it delivers.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Broker>,
    deliveries: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Broker for Counted {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        self.inner.publisher().await
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let (mut inner, deliveries) = (self.inner.subscribe(prefetch).await?, Arc::clone(&self.deliveries));
        let (sender, receiver) = mpsc::channel(prefetch);
        tokio::spawn(async move {
            while let Some(Some(delivery)) = tokio::select! {
                delivery = inner.recv() => Some(delivery),
                () = sender.closed() => None,
            } {
                deliveries.fetch_add(1, Ordering::SeqCst);
                let _ = sender.send(delivery).await;
            }
        });
        Ok(receiver)
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        self.inner.dead_letters(prefetch).await
    }

    fn messaging_system(&self) -> &'static str {
        "test"
    }

    fn confirms_after_commit(&self) -> bool {
        self.inner.confirms_after_commit()
    }
}

#[rstest]
#[tokio::test]
async fn an_event_of_another_system_is_held_and_nothing_else_waits_for_it(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let counted = Arc::new(Counted { inner: Arc::clone(world.participant_broker()), deliveries: Arc::default() });
    let plan = Plan { relay: false, identity: settings(Some(id(ONE))), ..Plan::default() };
    let first = EngineHarness::start(&storage, &(Arc::clone(&counted) as Arc<dyn Broker>), plan).await;
    let foreign = of(id(OTHER), &created(1, 1));
    // A foreign message that cannot be decoded is not dead-lettered either.
    let unreadable = of(id(OTHER), &created(1, 1));
    let unreadable =
        Outgoing { body: unreadable.body.replace("order.created.v1", "order.created.v9").into(), ..unreadable };
    world.order.publish(&[foreign.clone(), unreadable, of(id(ONE), &created(2, 1)), created(3, 1)]).await;
    world.order.confirmed(2).await;
    until("it is not ready", async || !first.is_up("system")).await;
    let refused = first.ask(Command::Count(4)).await;
    assert!(matches!(&refused, Err(Refusal::Unavailable(why)) if why.contains("another system")), "{refused:?}");
    let heard = [first.handled(1).await, first.handled(2).await, first.handled(3).await, first.handled(4).await];
    assert_eq!(heard, [0, 1, 1, 0]);
    assert_eq!((first.in_the_inbox().await, first.dead_letters().await), (2, vec![]));
    until("it is given back, and comes again", async || counted.deliveries.load(Ordering::SeqCst) > 8).await;
    assert_eq!((first.handled(1).await, first.in_the_inbox().await), (0, 2));
    first.crash().await;

    // The service of its own system handles it.
    let (elsewhere, system) = (TestDatabase::create(database), settings(Some(id(OTHER))));
    let right = engine(&elsewhere, &world, system).await;
    until("it is handled where it belongs", async || right.handled(1).await == 1).await;
    assert!(right.is_up("system"));
    right.crash().await;
}

#[rstest]
#[tokio::test]
async fn it_is_ready_again_once_the_events_of_another_system_are_given_up(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let first = engine(&storage, &world, settings(Some(id(ONE)))).await;
    let foreign = of(id(OTHER), &created(1, 1));
    world.order.publish(std::slice::from_ref(&foreign)).await;
    until("it is not ready", async || !first.is_up("system")).await;
    first.crash().await;

    let given_up = IdentitySettings { dead_letter_systems: vec![id(OTHER)], ..settings(None) };
    let again = engine(&storage, &world, given_up).await;
    world.order.confirmed(1).await;
    let letters = again.dead_letters().await;
    assert_eq!((letters.len(), letters[0].message_id), (1, foreign.message_id.0));
    assert!(letters[0].reason.contains(OTHER), "{}", letters[0].reason);
    assert!(again.is_up("system") && again.ask(Command::Count(2)).await == Ok(1));
    // It cannot be redriven into this database either.
    let letter = dead_letter(&again.database, foreign.message_id.0).await.unwrap().unwrap();
    let driven = within_timeout("an answer", again.mailbox.redrive(&letter)).await;
    assert!(matches!(&driven, Ok(Redriven::FailedAgain { reason }) if reason.contains(OTHER)), "{driven:?}");
    assert_eq!(again.handled(1).await, 0);
    again.crash().await;
}

#[rstest]
#[tokio::test]
async fn a_new_database_belongs_to_the_system_of_the_first_event(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world, system) = (TestDatabase::create(database), World::begin().await, new_id());
    let first = engine(&storage, &world, settings(None)).await;
    world.publish_and_wait(&[created(1, 1)]).await;
    assert_eq!(system_id(&first.database).await.unwrap(), None, "an event of the previous version says nothing");
    world.publish_and_wait(&[of(system, &created(2, 1))]).await;
    assert_eq!(system_id(&first.database).await.unwrap(), Some(system));
    // What it publishes from then on carries it.
    world.publish_and_wait(&[created(3, 1)]).await;
    let carried: Vec<_> = {
        use sea_orm::{EntityTrait, QueryOrder};
        let rows = outbox::Entity::find().order_by_asc(outbox::Column::MessageId).all(&first.database.reader()).await;
        rows.unwrap().iter().map(|row| Envelope::decode(row.body.as_bytes()).unwrap().header.system_id).collect()
    };
    assert_eq!(carried, [None, Some(system), Some(system)]);
    first.crash().await;

    let again = engine(&storage, &world, settings(None)).await;
    world.order.publish(&[of(new_id(), &created(4, 1))]).await;
    until("it does not take another one", async || !again.is_up("system")).await;
    assert_eq!(again.handled(4).await, 0);
    again.crash().await;
}

#[rstest]
#[tokio::test]
async fn of_two_systems_in_one_batch_the_first_is_taken_and_the_other_is_given_back(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world, system) = (TestDatabase::create(database), World::begin().await, new_id());
    let engine = engine(&storage, &world, settings(None)).await;
    engine.hold().await;
    world.order.publish(&[of(system, &created(1, 1)), of(new_id(), &created(2, 1)), created(3, 1)]).await;
    engine.script.gate.open();
    world.order.confirmed(2).await;
    assert_eq!(system_id(&engine.database).await.unwrap(), Some(system));
    until("the other one is noticed", async || !engine.is_up("system")).await;
    assert_eq!([engine.handled(1).await, engine.handled(2).await, engine.handled(3).await], [1, 0, 1]);
    assert_eq!(engine.dead_letters().await, []);
    engine.crash().await;
}

#[rstest]
#[tokio::test]
async fn a_new_database_does_not_belong_to_an_older_system_until_it_is_told(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let first = engine(&storage, &world, settings(None)).await;
    world.order.publish(&[of(id(ONE), &created(1, 1))]).await;
    until("it is not ready", async || !first.is_up("system")).await;
    assert_eq!((first.handled(1).await, system_id(&first.database).await.unwrap()), (0, None));
    first.crash().await;

    let asked = engine(&storage, &world, settings(Some(id(ONE)))).await;
    world.order.confirmed(1).await;
    assert_eq!((asked.handled(1).await, asked.is_up("system")), (1, true));
    asked.crash().await;
    let again = engine(&storage, &world, settings(None)).await;
    world.publish_and_wait(&[of(id(ONE), &created(2, 1))]).await;
    assert_eq!(again.handled(2).await, 1, "the system id need not be given again");
    again.crash().await;
}

/// The tables before systems had ids.
struct Previous;

#[async_trait::async_trait]
impl MigratorTrait for Previous {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(MessageTables), Box::new(Counts)]
    }
}

#[rstest]
#[tokio::test]
async fn a_database_of_the_previous_version_belongs_to_the_system_of_the_next_event(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let old = storage.open::<Previous>(Service::Order).await;
    assert_eq!(system_id(&old).await.unwrap(), None, "there is not even a table");
    let years_ago = "UPDATE seaql_migrations SET applied_at = 1600000000";
    for sql in ["INSERT INTO counts VALUES (1, 5)", years_ago] {
        execute(&old, sql).await;
    }
    old.close().await;
    let engine = engine(&storage, &world, settings(None)).await;
    world.publish_and_wait(&[created(1, 1), of(id(ONE), &created(1, 1))]).await;
    assert_eq!((engine.handled(1).await, system_id(&engine.database).await.unwrap()), (7, Some(id(ONE))));
    engine.crash().await;
}

#[rstest]
#[tokio::test]
async fn a_database_that_is_exchanged_behind_the_service_is_noticed(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let first = engine(&storage, &world, settings(Some(id(ONE)))).await;
    world.publish_and_wait(&[of(id(ONE), &created(1, 1))]).await;
    belongs_to(&first.database, OTHER).await;
    until("it is not ready", async || !first.is_up("system")).await;
    world.order.publish(&[of(id(ONE), &created(2, 1)), created(3, 1)]).await;
    assert!(first.ask(Command::Count(4)).await.is_err());
    first.crash().await;

    let again = engine(&storage, &world, settings(None)).await;
    world.order.confirmed(1).await;
    assert_eq!([again.handled(1).await, again.handled(2).await, again.handled(3).await], [1, 0, 1]);
    again.crash().await;
}

#[rstest]
#[tokio::test]
async fn what_the_broker_gave_up_on_is_held_too_where_it_belongs_to_another_system(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let (broker, dead_letters) = giving_up(world.participant_broker());
    let service = ServiceHarness::start(&storage, &broker).await;
    dead_letters.add(&of(id(ONE), &created(1, 1)), "delivered more than 100 times", 100);
    let is_down = |report: &serde_json::Value| {
        let all = report["dependencies"].as_array().unwrap();
        all.iter().any(|one| one["name"] == "system" && one["status"] == "down")
    };
    until("it is not ready", async || is_down(&service.ask(Method::GET, "/health/ready").await.1)).await;
    assert_eq!((service.list().await.len(), dead_letters.acknowledged()), (0, 0));
    service.finish(0).await;
}
