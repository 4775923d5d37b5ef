//! Two services with a database each, and a message between them: `warehouse` ships parcels, `billing` bills each of
//! them exactly once. Kill the program at any moment and start it again with the same directory: the two numbers become
//! equal.
//!
//! ```sh
//! cargo run -p saga-runtime --example parcels -- /tmp/parcels
//! ```

#![allow(clippy::print_stdout, unreachable_pub, reason = "a program prints, and SeaORM's macro needs public items")]

use std::{env, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use saga_database::{
    Database, WorkingSet, Writes, find_locked,
    tables::{MessageTables, SystemIdentityTable},
};
use saga_memory_broker::InProcessBroker;
use saga_message::{Header, Message, Route, ServiceSpec};
use saga_runtime::{
    Cause, Decision, EngineMetrics, EngineSettings, IdentitySettings, Input, Mailbox, Outbox, Participant, Payload,
    Readiness, ReplyTo, Runtime, RuntimeDeps, ShutdownStages, SystemIdentity, Unacceptable, broker::Broker,
    trace::Tracing,
};
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

// 1. The contract: which service publishes what to whom. A real system has it in a crate of its own, which both
// services depend on.

static ROUTES: [Route; 1] = [Route {
    publisher: "warehouse",
    routing_key: "parcel.shipped",
    message_type: "com.example.parcel-shipped.v1",
    consumers: &["billing"],
    can_wait_at: &[],
}];

/// A parcel was shipped.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ParcelShipped {
    header: Header,
    parcel: Uuid,
}

impl Message for ParcelShipped {
    type Event = Uuid;
    type DecodeError = serde_json::Error;

    fn new(header: Header, parcel: Uuid) -> Self {
        Self { header, parcel }
    }
    fn decode(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
    fn encode(&self) -> String {
        serde_json::to_string(self).expect("a header and a UUID have a JSON form")
    }
    fn header(&self) -> &Header {
        &self.header
    }
    fn route(&self) -> &'static Route {
        &ROUTES[0]
    }
    fn correlation_id(&self) -> Uuid {
        self.parcel
    }
    fn event_name(&self) -> String {
        "ParcelShipped".to_owned()
    }
    fn subject(&self) -> String {
        self.parcel.to_string()
    }
}

// 2. The tables: those of the runtime, and the service's own. Both services have the same one here.

mod parcels {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "parcels")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub parcel: Uuid,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

struct ParcelsTable;

impl sea_orm_migration::MigrationName for ParcelsTable {
    fn name(&self) -> &str {
        "m0002_parcels"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ParcelsTable {
    async fn up(&self, manager: &sea_orm_migration::SchemaManager) -> Result<(), DbErr> {
        saga_database::run_sql(manager, "CREATE TABLE parcels (parcel UUID NOT NULL PRIMARY KEY);").await
    }
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(MessageTables), Box::new(ParcelsTable), Box::new(SystemIdentityTable)]
    }
}

// 3. The participant loads the rows that a batch of inputs touches, decides in memory, and saves what has changed. The
// engine does the rest: one transaction with the inbox and the outbox, and only after it replies and acknowledgements.

#[derive(Debug)]
struct Department(&'static str);

/// The only command: ship this parcel, and reply to the caller once that is durable.
#[derive(Debug)]
struct Ship {
    parcel: Uuid,
    reply_to: ReplyTo<()>,
}

impl Participant for Department {
    type Message = ParcelShipped;
    type Command = Ship;
    type CallResult = ();
    type State = WorkingSet<Uuid, parcels::Model>;

    fn service(&self) -> ServiceSpec {
        ServiceSpec { system: "parcels", name: self.0, routes: &ROUTES, creates_system_id: self.0 == "warehouse" }
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<Self::State, DbErr> {
        let keys = inputs.iter().map(|input| parcel_of(&input.payload).into()).collect();
        let rows = find_locked::<parcels::Entity, _>(transaction, parcels::Column::Parcel, keys).await?;
        Ok(WorkingSet::loaded(rows.into_iter().map(|row| (row.parcel, row))))
    }

    fn decide(&self, state: &mut Self::State, input: &Input<Self>) -> Result<Decision<Self>, Unacceptable> {
        let parcel = parcel_of(&input.payload);
        state.put(parcel, parcels::Model { parcel });
        Ok(match &input.payload {
            Payload::Command(ship) => Decision::publish(vec![parcel]).replying(ship.reply_to.with(())),
            Payload::Event(_) => Decision::silent(),
        })
    }

    fn save(&self, state: &mut Self::State, writes: &mut Writes) -> Result<(), DbErr> {
        writes.save::<parcels::Entity>(&state.to_save(parcels::Model::clone));
        Ok(())
    }
}

fn parcel_of(payload: &Payload<Department>) -> Uuid {
    match payload {
        Payload::Command(ship) => ship.parcel,
        Payload::Event(message) => message.parcel,
    }
}

// 4. A running service: engine, relay and consumer on a database and a broker. (`service-host` does this, with HTTP,
// metrics and an orderly shutdown.)

struct Service {
    database: Database,
    mailbox: Mailbox<Department>,
    outbox: Arc<Outbox>,
}

async fn start(department: Department, directory: &std::path::Path, broker: Arc<dyn Broker>) -> Result<Service> {
    let (spec, readiness) = (department.service(), Readiness::new([]));
    let database = Database::open_sqlite::<Migrator>(&directory.join(format!("{}.sqlite", spec.name))).await?;
    let outbox = Outbox::open(&database, spec).await?;
    let identity = SystemIdentity::open(&database, spec, &IdentitySettings::default(), readiness.clone()).await?;
    let deps = RuntimeDeps {
        tracing: Tracing::default(),
        database: database.clone(),
        broker,
        outbox: Arc::clone(&outbox),
        identity,
        readiness,
        metrics: EngineMetrics::default(),
        stop: ShutdownStages::default(),
    };
    let Runtime { mailbox, parts } = Runtime::new(department, deps, EngineSettings::default(), 100);
    parts.into_iter().for_each(|part| drop(tokio::spawn(part)));
    Ok(Service { database, mailbox, outbox })
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = PathBuf::from(env::args().nth(1).context("usage: parcels DIRECTORY, for example /tmp/parcels")?);
    std::fs::create_dir_all(&directory)?;
    let mut brokers = InProcessBroker::for_services(&["warehouse", "billing"], 1_000);
    let mut broker = |name| Ok::<_, anyhow::Error>(Arc::new(brokers.remove(name).context("it has a queue")?));
    let warehouse = start(Department("warehouse"), &directory, broker("warehouse")?).await?;
    let billing = start(Department("billing"), &directory, broker("billing")?).await?;

    for number in 1..=1_000 {
        // When this returns, the parcel is durable, whatever happens to the process afterwards; billing receives the
        // event eventually.
        let parcel = Uuid::now_v7();
        warehouse.mailbox.ask(|reply_to| Ship { parcel, reply_to }, Cause::new()).await?;
        if number % 100 == 0 {
            println!("{number} of 1000 shipped");
        }
    }
    // The outbox is empty when the broker has confirmed everything, and this broker confirms after billing's commit.
    tokio::time::timeout(Duration::from_secs(30), warehouse.outbox.empty()).await.context("billing does not answer")?;
    let shipped = parcels::Entity::find().count(&warehouse.database.reader()).await?;
    let billed = parcels::Entity::find().count(&billing.database.reader()).await?;
    println!("shipped {shipped}, billed {billed}");
    Ok(())
}
