//! A participant for the tests: it counts the inputs about each order.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use saga_database::{
    WorkingSet, Writes, find_locked, run_sql,
    tables::{ApiKeysTable, AuditLogTable, MessageTables, SystemIdentityTable},
};
use saga_message::ServiceSpec;
use saga_runtime::{CallError, Decision, Input, Participant, Payload, ReplyTo, Unacceptable};
use sea_orm::{DatabaseTransaction, DbErr, RuntimeErr};
use sea_orm_migration::prelude::*;
use shared_events::{Envelope, Event, EventBody, Service};
use tokio::sync::watch;

/// Its table.
#[allow(unreachable_pub, reason = "the derive wants it public")]
pub(crate) mod counts {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "counts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub order_id: i64,
        pub heard: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(MessageTables),
            Box::new(Counts),
            Box::new(SystemIdentityTable),
            Box::new(ApiKeysTable),
            Box::new(AuditLogTable),
        ]
    }
}

pub(crate) struct Counts;

impl MigrationName for Counts {
    fn name(&self) -> &str {
        "m0002_counts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Counts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "CREATE TABLE counts (order_id BIGINT NOT NULL PRIMARY KEY, heard BIGINT NOT NULL);").await
    }
}

/// Quantities that cause a failure.
pub(crate) const UNACCEPTABLE: i64 = 1_001;
pub(crate) const PANICS_WHEN_DECIDED: i64 = 1_002;
pub(crate) const PANICS_WHEN_SAVED: i64 = 1_003;
pub(crate) const CANNOT_BE_SAVED: i64 = 1_004;

#[derive(Debug)]
pub(crate) enum Command {
    /// Count one for this order, and reply with the sum.
    Count(i64),
    /// Count one for this order of so many units, as if it had been created, and publish `StockReserved`.
    Announce(Event),
    /// Make an external call first, then count.
    Ask(i64),
}

/// A command, and the address for the sum.
#[derive(Debug)]
pub(crate) struct Request {
    command: Command,
    reply_to: Option<ReplyTo<i64>>,
}

impl Command {
    /// The command as [`Mailbox::ask`](saga_runtime::Mailbox::ask) takes it.
    pub(crate) fn with_reply(self) -> impl FnOnce(ReplyTo<i64>) -> Request {
        |reply_to| Request { command: self, reply_to: Some(reply_to) }
    }

    pub(crate) fn without_reply(self) -> Request {
        Request { command: self, reply_to: None }
    }
}

/// A gate that a test opens and shuts.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// How the participant and its surroundings behave, as set by the test.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// While it is shut, the engine waits in the middle of a transaction.
    pub(crate) gate: Gate,
    /// The number of inputs of each transaction that called `load`.
    pub(crate) batches: Mutex<Vec<usize>>,
    /// Whether the database is unavailable.
    pub(crate) away: AtomicBool,
    /// While it is shut, external calls wait.
    pub(crate) world: Gate,
    /// How many of the next external calls fail.
    pub(crate) refusals: AtomicUsize,
    /// How many of the next external calls panic.
    pub(crate) panics: AtomicUsize,
    pub(crate) asked: AtomicUsize,
    /// If set, no quantity causes a failure any more.
    pub(crate) cured: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct CountingParticipant(pub(crate) Arc<Script>);

pub(crate) struct State {
    rows: WorkingSet<i64, counts::Model>,
    spoilt: i64,
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// The order of an input, and its quantity.
fn order_of(payload: &Payload<CountingParticipant>) -> (i64, i64) {
    let of_event = |event: &Event| {
        let line = event.order.lines.only().expect("the tests' orders have one line");
        (event.order.order_id.0, line.quantity.units())
    };
    match payload {
        Payload::Command(Request { command: Command::Count(id) | Command::Ask(id), .. }) => (*id, 1),
        Payload::Command(Request { command: Command::Announce(event), .. }) => of_event(event),
        Payload::Event(envelope) => of_event(&envelope.event),
    }
}

impl Participant for CountingParticipant {
    type Message = Envelope;
    type Command = Request;
    type CallResult = ();
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Inventory.spec()
    }

    /// For `PaymentFailed`, and for the command `Ask`.
    fn needs_call(&self, payload: &Payload<CountingParticipant>) -> bool {
        match payload {
            Payload::Command(request) => matches!(request.command, Command::Ask(_)),
            Payload::Event(envelope) => matches!(envelope.event.body, EventBody::PaymentFailed { .. }),
        }
    }

    async fn call(&self, _: &Payload<CountingParticipant>) -> Result<(), CallError> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        self.0.world.pass().await;
        assert!(!take_one(&self.0.panics), "a panic that the test wants");
        if take_one(&self.0.refusals) { Err(CallError("the gateway is away".to_owned())) } else { Ok(()) }
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        self.0.batches.lock().unwrap().push(inputs.len());
        self.0.gate.pass().await;
        if self.0.away.load(Ordering::SeqCst) {
            return Err(DbErr::Conn(RuntimeErr::Internal("the test pulled the plug".to_owned())));
        }
        let mut ids: Vec<i64> = inputs.iter().map(|input| order_of(&input.payload).0).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids = ids.into_iter().map(Into::into).collect();
        let rows = find_locked::<counts::Entity, _>(transaction, counts::Column::OrderId, ids).await?;
        Ok(State { rows: WorkingSet::loaded(rows.into_iter().map(|row| (row.order_id, row))), spoilt: 0 })
    }

    fn decide(&self, state: &mut State, input: &Input<Self>) -> Result<Decision<Self>, Unacceptable> {
        assert_eq!(input.call_result.is_some(), self.needs_call(&input.payload), "asked where it must be");
        let (order_id, units) = order_of(&input.payload);
        match units {
            _ if self.0.cured.load(Ordering::SeqCst) => {}
            UNACCEPTABLE => return Err(Unacceptable("it cannot be\0".to_owned())),
            PANICS_WHEN_DECIDED => panic!("a panic that the test wants"),
            PANICS_WHEN_SAVED | CANNOT_BE_SAVED => state.spoilt = units,
            _ => {}
        }
        let heard = state.rows.get(&order_id).map_or(0, |row| row.heard) + 1;
        state.rows.put(order_id, counts::Model { order_id, heard });
        let reserved = |event: &Event| Event { body: EventBody::StockReserved, ..event.clone() };
        let events = match &input.payload {
            Payload::Command(Request { command: Command::Announce(event), .. }) => vec![reserved(event)],
            Payload::Event(envelope) if envelope.event.body == EventBody::OrderCreated => {
                vec![reserved(&envelope.event)]
            }
            _ => Vec::new(),
        };
        let reply = match &input.payload {
            Payload::Command(request) => request.reply_to.as_ref().map(|reply_to| reply_to.with(heard)),
            Payload::Event(_) => None,
        };
        Ok(Decision { reply, ..Decision::publish(events) })
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        writes.save::<counts::Entity>(&state.rows.to_save(counts::Model::clone));
        match state.spoilt {
            CANNOT_BE_SAVED => Err(DbErr::Custom("the test spoilt it".to_owned())),
            PANICS_WHEN_SAVED => panic!("a panic that the test wants"),
            _ => Ok(()),
        }
    }
}
