//! An engine, a relay and a consumer on a database; and the services around them, played by the test.

use std::sync::{Arc, Mutex};

use saga_database::{
    Database,
    tables::{dead_letter, inbox, outbox},
};
use saga_message::framing;
use saga_runtime::{
    Cause, Engine, EngineSettings, IdentitySettings, Mailbox, Outbox, Readiness, Refusal, Relay, ShutdownStages,
    Source, SystemIdentity,
    broker::Broker,
    broker::Outgoing,
    conformance::{TestPublisher, TimeLimits},
    consume,
};
use sea_orm::EntityTrait;
use shared_events::{
    Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity, SagaId,
    Service, Sku, Timestamp,
};
use testkit::service::TestDatabase;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    counting_participant::{Command, CountingParticipant, Migrator, Script, counts},
    wait::{until, within_timeout},
};

/// The parts and settings of an engine.
pub(crate) struct Plan {
    pub(crate) settings: EngineSettings,
    pub(crate) relay: bool,
    pub(crate) identity: IdentitySettings,
}

impl Default for Plan {
    fn default() -> Self {
        Self { settings: EngineSettings::default(), relay: true, identity: IdentitySettings::default() }
    }
}

pub(crate) struct EngineHarness {
    pub(crate) script: Arc<Script>,
    pub(crate) database: Database,
    pub(crate) mailbox: Mailbox<CountingParticipant>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) readiness: Readiness,
    pub(crate) stop: ShutdownStages,
    tasks: JoinSet<()>,
}

/// Makes `database` known to the other replicas, until `stop`.
fn as_replica(database: &Database, stop: &ShutdownStages) -> impl Future<Output = ()> + use<> {
    let (replica_bus, stop) = (database.replica_bus(), stop.work.clone());
    async move { stop.run_until_cancelled_owned(replica_bus.run()).await.unwrap_or_default() }
}

/// Opens a database with the tables of the participant.
pub(crate) async fn open(storage: &TestDatabase) -> Database {
    storage.open::<Migrator>(Service::Order).await
}

impl EngineHarness {
    pub(crate) async fn start(storage: &TestDatabase, broker: &Arc<dyn Broker>, plan: Plan) -> Self {
        let database = open(storage).await;
        let (script, stop) = (Arc::new(Script::default()), ShutdownStages::default());
        let readiness = Readiness::new(["database", "broker", "queue"]);
        let service = Service::Inventory.spec();
        let outbox = Outbox::open(&database, service).await.unwrap();
        let identity = SystemIdentity::open(&database, service, &plan.identity, readiness.clone()).await.unwrap();
        let (engine, mailbox) = Engine::new(
            CountingParticipant(Arc::clone(&script)),
            database.clone(),
            Arc::clone(&outbox),
            readiness.clone(),
            identity,
            plan.settings,
            stop.clone(),
        );
        let mut tasks = JoinSet::new();
        if plan.relay {
            let (broker, outbox) = (Arc::clone(broker), Arc::clone(&outbox));
            let relay = Relay::new(database.clone(), broker, outbox, mailbox.clone(), readiness.clone(), stop.clone());
            tasks.spawn(relay.run());
        }
        let queue = Source::Queue { prefetch: 256, readiness: readiness.clone() };
        tasks.spawn(consume(Arc::clone(broker), mailbox.clone(), queue, stop.work.clone()));
        tasks.spawn(engine.run());
        tasks.spawn(as_replica(&database, &stop));
        Self { script, database, mailbox, outbox, readiness, stop, tasks }
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<i64, Refusal> {
        within_timeout("a reply", self.mailbox.ask(command.with_reply(), Cause::new())).await
    }

    /// Shuts the gate, and waits until the engine waits at it. The inputs that arrive from now on become one batch.
    pub(crate) async fn hold(&self) {
        let before = self.batches().len();
        self.script.gate.shut();
        self.mailbox.tell(Command::Count(-1).without_reply());
        until("the engine stands still", async || self.batches().len() > before).await;
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.script.batches.lock().unwrap().clone()
    }

    pub(crate) async fn handled(&self, order_id: i64) -> i64 {
        let row = counts::Entity::find_by_id(order_id).one(&self.database.reader()).await.unwrap();
        row.map_or(0, |row| row.heard)
    }

    pub(crate) async fn dead_letters(&self) -> Vec<dead_letter::Model> {
        dead_letter::Entity::find().all(&self.database.reader()).await.unwrap()
    }

    pub(crate) async fn in_the_inbox(&self) -> usize {
        inbox::Entity::find().all(&self.database.reader()).await.unwrap().len()
    }

    /// What the outbox holds, oldest first.
    pub(crate) async fn in_the_outbox(&self) -> Vec<MessageId> {
        let rows = outbox::Entity::find().all(&self.database.reader()).await.unwrap();
        let mut ids: Vec<MessageId> = rows.into_iter().map(|row| MessageId(row.message_id)).collect();
        ids.sort();
        ids
    }

    pub(crate) fn is_up(&self, dependency: &str) -> bool {
        let report = self.readiness.snapshot();
        report.iter().any(|one| one.name == dependency && one.down.is_none())
    }

    /// Stops it gracefully, and checks that nothing is left unpublished.
    pub(crate) async fn finish(self) {
        within_timeout("everything is published", self.outbox.empty()).await;
        assert_eq!(self.in_the_outbox().await, []);
        self.end().await;
    }

    /// Stops it gracefully, whatever is left.
    pub(crate) async fn end(mut self) {
        self.stop.intake.cancel();
        self.stop.work.cancel();
        within_timeout("everything ends", async {
            while self.tasks.join_next().await.transpose().unwrap().is_some() {}
        })
        .await;
        self.database.close().await;
    }

    /// Ends it as a crash does: all tasks are dropped.
    pub(crate) async fn crash(mut self) {
        within_timeout("it is gone", self.tasks.shutdown()).await;
        self.database.close().await;
    }
}

/// An event of an order of `units`.
pub(crate) fn event(order_id: i64, units: i64, body: EventBody) -> Event {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(units).unwrap() };
    let order = OrderDetails {
        order_id: OrderId(order_id),
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
    };
    Event { saga_id: SagaId(Uuid::now_v7()), order, body }
}

/// `OrderCreated`, for an order of `units`.
pub(crate) fn created(order_id: i64, units: i64) -> Outgoing {
    outgoing(event(order_id, units, EventBody::OrderCreated))
}

pub(crate) fn outgoing(event: Event) -> Outgoing {
    let id = MessageId(Uuid::now_v7());
    let (flow, saga) = (event.body.event_type().flow(), event.saga_id.0);
    let time = Timestamp::from_unix_micros(1_700_000_000_000_000);
    let envelope = Envelope {
        header: Header { id, time, causation_id: Uuid::now_v7(), system_id: None, traceparent: None },
        event,
    };
    Outgoing {
        message_id: id,
        route: flow.route,
        correlation_id: Some(saga),
        events: 1,
        body: envelope.encode().into(),
    }
}

/// A message for the counting participant with this body, which need not be an event.
pub(crate) fn raw(body: &str) -> Outgoing {
    Outgoing { body: body.into(), ..created(1, 1) }
}

/// Records and acknowledges all deliveries to this service, until the returned set is dropped.
fn listen(broker: &Arc<dyn Broker>, heard: &Heard) -> JoinSet<()> {
    let (broker, heard) = (Arc::clone(broker), Arc::clone(heard));
    let mut listener = JoinSet::new();
    listener.spawn(async move {
        let mut deliveries = broker.subscribe(64).await.unwrap();
        while let Some(delivery) = deliveries.recv().await {
            for event in framing::split(&delivery.body).unwrap() {
                heard.lock().unwrap().push(Envelope::decode(event).unwrap().header.id);
            }
            delivery.receipt.acknowledge();
        }
    });
    listener
}

type Heard = Arc<Mutex<Vec<MessageId>>>;

/// The in-process broker, on which the test plays order and payment around the counting participant: it publishes to
/// the participant, and records what the participant publishes.
pub(crate) struct World {
    pub(crate) brokers: crate::broker::Brokers,
    pub(crate) order: TestPublisher,
    at_payment: Heard,
    _listeners: [JoinSet<()>; 2],
}

impl World {
    pub(crate) async fn begin() -> Self {
        let brokers = crate::in_process::in_process(&Service::ALL, 4_096);
        let order = TestPublisher::open(&*brokers[&Service::Order], TimeLimits::default()).await;
        let (at_order, at_payment) = (Heard::default(), Heard::default());
        let _listeners =
            [listen(&brokers[&Service::Order], &at_order), listen(&brokers[&Service::Payment], &at_payment)];
        Self { brokers, order, at_payment, _listeners }
    }

    pub(crate) fn participant_broker(&self) -> &Arc<dyn Broker> {
        &self.brokers[&Service::Inventory]
    }

    /// The messages that payment has received, in the order of arrival.
    pub(crate) fn heard(&self) -> Vec<MessageId> {
        self.at_payment.lock().unwrap().clone()
    }

    /// Publishes these messages, and waits until the participant has committed them or dead-lettered them.
    pub(crate) async fn publish_and_wait(&mut self, messages: &[Outgoing]) {
        self.order.publish(messages).await;
        self.order.confirmed(messages.len()).await;
    }
}
