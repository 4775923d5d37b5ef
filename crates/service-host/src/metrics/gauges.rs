use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::{sync::Mutex, time::Instant};

use saga_database::{Database, TableCounts, table_counts};
use saga_runtime::{Readiness, broker::Broker};

/// The gauges whose values are read at each scrape. A gauge without a known value is omitted.
#[derive(Debug)]
pub(crate) struct Gauges {
    database: Database,
    broker: Arc<dyn Broker>,
    readiness: Readiness,
    tables_read: Mutex<Option<Instant>>,
    outbox: OptionalGauge,
    outbox_age: Family<NoLabels, Gauge<f64, AtomicU64>>,
    clock_offset: Family<NoLabels, Gauge<f64, AtomicU64>>,
    dead_letters: OptionalGauge,
    queue_ready: OptionalGauge,
    queue_consumers: OptionalGauge,
    up: Family<Dependency, Gauge>,
    connections: Family<PoolLabel, Gauge>,
    idle: Family<PoolLabel, Gauge>,
}

/// A gauge whose value may be unknown.
type OptionalGauge = Family<NoLabels, Gauge>;

/// A family with at most one member, so that the gauge can be without a value.
type NoLabels = [(&'static str, &'static str); 0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dependency {
    dependency: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: &'static str,
}

/// How long values from the tables are reused.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Time limit for reading the tables. If the database is unavailable, the other metrics must still be served.
const TABLES_TIMEOUT: Duration = Duration::from_secs(2);

impl Gauges {
    pub(crate) fn new(database: Database, broker: Arc<dyn Broker>, readiness: Readiness) -> Self {
        Self {
            database,
            broker,
            readiness,
            tables_read: Mutex::default(),
            outbox: OptionalGauge::default(),
            outbox_age: Family::default(),
            clock_offset: Family::default(),
            dead_letters: OptionalGauge::default(),
            queue_ready: OptionalGauge::default(),
            queue_consumers: OptionalGauge::default(),
            up: Family::default(),
            connections: Family::default(),
            idle: Family::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("outbox_messages", "Messages that are committed and not yet confirmed", self.outbox.clone());
        let help = "How long the oldest of them has waited; 0 if there is none";
        registry.register_with_unit("outbox_oldest_age", help, Unit::Seconds, self.outbox_age.clone());
        registry.register("dead_letters", "Messages that could not be handled", self.dead_letters.clone());
        let help = "Messages that wait in this service's queue, as last reported by the broker";
        registry.register("queue_ready_messages", help, self.queue_ready.clone());
        registry.register(
            "queue_consumers",
            "Consumers of this queue, as last reported by the broker",
            self.queue_consumers.clone(),
        );
        registry.register(
            "dependency_up",
            "Whether the dependency was available when it was last used",
            self.up.clone(),
        );
        let help = "How often the dependency became available again";
        registry.register("dependency_reconnects", help, self.readiness.reconnects());
        let help = "How far the clock of this machine is ahead of the database's; negative if it is behind";
        registry.register_with_unit("clock_offset", help, Unit::Seconds, self.clock_offset.clone());
        let help = "Open connections to the database";
        registry.register("database_connections", help, self.connections.clone());
        registry.register("database_idle_connections", "Idle connections to the database", self.idle.clone());
    }

    /// Updates all gauges.
    pub(super) async fn read(&self) {
        for dependency in self.readiness.snapshot() {
            let up = dependency.down.is_none();
            self.up.get_or_create(&Dependency { dependency: dependency.name }).set(up.into());
        }
        let queue = self.broker.queue();
        set_or_clear(&self.queue_ready, queue.map(|queue| queue.ready));
        set_or_clear(&self.queue_consumers, queue.map(|queue| queue.consumers));
        for pool in self.database.pool_stats() {
            let label = PoolLabel { pool: pool.pool };
            self.connections.get_or_create(&label).set(pool.open.into());
            self.idle.get_or_create(&label).set(i64::try_from(pool.idle).unwrap_or(i64::MAX));
        }
        if let Some(offset) = self.database.clock().offset_seconds() {
            self.clock_offset.get_or_create(&[]).set(offset);
        }
        self.read_tables().await;
    }

    async fn read_tables(&self) {
        let mut read = self.tables_read.lock().await;
        if read.is_some_and(|read| read.elapsed() < MAX_AGE) {
            return;
        }
        let counts = tokio::time::timeout(TABLES_TIMEOUT, table_counts(&self.database)).await;
        *read = Some(Instant::now());
        let counts: Option<TableCounts> = counts.ok().and_then(Result::ok);
        set_or_clear(&self.outbox, counts.map(|counts| counts.outbox));
        set_or_clear(&self.dead_letters, counts.map(|counts| counts.dead_letters));
        match counts {
            Some(TableCounts { oldest, .. }) => {
                let age = oldest.map_or(Duration::ZERO, |oldest| self.database.clock().now().since(oldest));
                self.outbox_age.get_or_create(&[]).set(age.as_secs_f64());
            }
            None => self.outbox_age.clear(),
        }
    }
}

fn set_or_clear(gauge: &OptionalGauge, value: Option<u64>) {
    match value {
        Some(value) => drop(gauge.get_or_create(&[]).set(i64::try_from(value).unwrap_or(i64::MAX))),
        None => gauge.clear(),
    }
}
