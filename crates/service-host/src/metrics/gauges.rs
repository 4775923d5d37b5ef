use std::{sync::Arc, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::{sync::Mutex, time::Instant};

use saga_database::{Database, TableCounts, table_counts};
use saga_runtime::{Readiness, broker::Broker};

/// The figures that are read when somebody asks. One that is not known at the moment is not shown.
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

/// A figure that may be unknown.
type OptionalGauge = Family<NoLabels, Gauge>;

/// A family of one: so that it can be without a value.
type NoLabels = [(&'static str, &'static str); 0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dependency {
    dependency: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: &'static str,
}

/// How long what was read from the tables is good enough.
const FRESH: Duration = Duration::from_secs(2);
/// How long the database may take: whoever asks for metrics while it is away wants the others.
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
        registry.register("outbox_events", "Events that are committed and not yet confirmed", self.outbox.clone());
        let help = "How long the oldest of them has waited; 0 where there is none";
        registry.register_with_unit("outbox_oldest_age", help, Unit::Seconds, self.outbox_age.clone());
        registry.register("dead_letters", "Messages that are parked", self.dead_letters.clone());
        let help = "Messages that wait in this service's queue, as the broker last said";
        registry.register("queue_ready_messages", help, self.queue_ready.clone());
        registry.register("queue_consumers", "Who consumes it, as the broker last said", self.queue_consumers.clone());
        registry.register("dependency_up", "Whether it was there when it was last used", self.up.clone());
        let help = "How often it was there again after it had been away";
        registry.register("dependency_reconnects", help, self.readiness.reconnects());
        let help = "How far the clock of this machine is ahead of the database's; negative where it is behind";
        registry.register_with_unit("clock_offset", help, Unit::Seconds, self.clock_offset.clone());
        let help = "Connections to the database that are open";
        registry.register("database_connections", help, self.connections.clone());
        registry.register("database_idle_connections", "Those of them that nobody uses", self.idle.clone());
    }

    /// Reads all figures.
    pub(super) async fn read(&self) {
        for dependency in self.readiness.snapshot() {
            let up = dependency.down.is_none();
            self.up.get_or_create(&Dependency { dependency: dependency.name }).set(up.into());
        }
        let queue = self.broker.queue();
        show(&self.queue_ready, queue.map(|queue| queue.ready));
        show(&self.queue_consumers, queue.map(|queue| queue.consumers));
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
        if read.is_some_and(|read| read.elapsed() < FRESH) {
            return;
        }
        let counts = tokio::time::timeout(TABLES_TIMEOUT, table_counts(&self.database)).await;
        *read = Some(Instant::now());
        let counts: Option<TableCounts> = counts.ok().and_then(Result::ok);
        show(&self.outbox, counts.map(|counts| counts.outbox));
        show(&self.dead_letters, counts.map(|counts| counts.dead_letters));
        match counts {
            Some(TableCounts { oldest, .. }) => {
                let age = oldest.map_or(Duration::ZERO, |oldest| self.database.clock().now().since(oldest));
                self.outbox_age.get_or_create(&[]).set(age.as_secs_f64());
            }
            None => self.outbox_age.clear(),
        }
    }
}

fn show(gauge: &OptionalGauge, figure: Option<u64>) {
    match figure {
        Some(figure) => drop(gauge.get_or_create(&[]).set(i64::try_from(figure).unwrap_or(i64::MAX))),
        None => gauge.clear(),
    }
}
