use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde::Serialize;
use shared_events::Service;
use testkit::stack::Stack;
use tokio::task::{JoinSet, block_in_place};

use super::{broker, database, gate::Gate};
use crate::{Settings, processes::Servers, progress::Progress};

/// Which servers a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sides {
    /// RabbitMQ and PostgreSQL at the same time.
    Both,
    /// RabbitMQ alone.
    Broker,
    /// PostgreSQL alone.
    Databases,
}

/// What a run does at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    /// Number of orders.
    pub(super) orders: usize,
    /// Number of events in a message; the last message may have fewer.
    pub(super) events_per_message: usize,
}

/// The result of one run of the baseline.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Baseline {
    pub(crate) driven: Sides,
    pub(crate) orders_in_a_batch: usize,
    pub(crate) events_per_message: usize,
    pub(crate) orders_per_second: f64,
    pub(crate) postgres_cores: f64,
    pub(crate) rabbitmq_cores: f64,
    /// Cores used by the drivers, which run in the benchmark's own process.
    pub(crate) driver_cores: f64,
}

/// The runs of [`measure`], each without and with bundles: the servers, and the number of orders per batch.
const RUNS: [(Sides, usize); 4] =
    [(Sides::Both, 64), (Sides::Both, 256), (Sides::Broker, 256), (Sides::Databases, 256)];

/// Returns the number of runs in [`measure`].
pub(crate) fn runs(settings: &Settings) -> usize {
    RUNS.len() * bundles(settings).len()
}

/// Returns the numbers of events per message: one, and the one of the settings.
fn bundles(settings: &Settings) -> BTreeSet<usize> {
    BTreeSet::from([1, usize::from(settings.bundle)])
}

/// Measures the baseline with the stack's own tables and queues while its services are stopped. Both are empty before
/// and after.
pub(crate) async fn measure(stack: &Stack, settings: &Settings, progress: &Progress) -> Result<Vec<Baseline>> {
    let mut measured = Vec::new();
    for (sides, orders) in RUNS {
        for events_per_message in bundles(settings) {
            let events = if events_per_message == 1 { "event" } else { "events" };
            let what = format!("{} in batches of {orders}, {events_per_message} {events} per message", sides.name());
            progress.next(&format!("baseline, {what}"));
            measured.push(one(stack, settings, sides, Batch { orders, events_per_message }).await?);
        }
    }
    Ok(measured)
}

impl Batch {
    /// Returns the number of messages with one event of each order.
    pub(super) fn messages(self) -> usize {
        self.orders.div_ceil(self.events_per_message)
    }
}

impl Sides {
    /// Returns the number of loops: for each service one that publishes, one that consumes and one that writes.
    fn loops(self) -> usize {
        Service::ALL.len()
            * match self {
                Self::Both => 3,
                Self::Broker => 2,
                Self::Databases => 1,
            }
    }

    /// Returns the name that is shown in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Both => "both servers",
            Self::Broker => "RabbitMQ alone",
            Self::Databases => "PostgreSQL alone",
        }
    }
}

async fn one(stack: &Stack, settings: &Settings, sides: Sides, batch: Batch) -> Result<Baseline> {
    clear(stack).await?;
    database::stock(&stack.database_url(Service::Inventory), settings.skus).await?;
    // A checkpoint, so that no run pays for writes of an earlier one.
    block_in_place(|| stack.postgres.psql("postgres", "CHECKPOINT"))?;
    let gate = Arc::new(Gate::new(sides.loops()));
    let mut loops = JoinSet::new();
    let mut index = 0..;
    let mut next = || index.next().unwrap_or_default();
    for service in Service::ALL {
        let (amqp, skus) = (stack.amqp_url(service), settings.skus);
        if sides != Sides::Databases {
            loops.spawn(broker::consume(amqp.clone(), service, batch, next(), Arc::clone(&gate)));
            loops.spawn(broker::publish(amqp, service, batch, skus, next(), Arc::clone(&gate)));
        }
        if sides != Sides::Broker {
            let url = stack.database_url(service);
            loops.spawn(database::write(url, service, batch, skus, next(), Arc::clone(&gate)));
        }
    }
    let servers = Servers::of(stack)?;
    keep_running(&mut loops, settings.warm_up).await?;
    let (started, before, used) = (Instant::now(), gate.slowest(), servers.used());
    keep_running(&mut loops, settings.time).await?;
    let (elapsed, batches, used) = (started.elapsed(), gate.slowest() - before, servers.used().since(used));
    gate.close();
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    clear(stack).await?;
    let per_second = |time: Duration| time.as_secs_f64() / elapsed.as_secs_f64();
    Ok(Baseline {
        driven: sides,
        orders_in_a_batch: batch.orders,
        events_per_message: batch.events_per_message,
        orders_per_second: batches as f64 * batch.orders as f64 / elapsed.as_secs_f64(),
        postgres_cores: per_second(used.postgres),
        rabbitmq_cores: per_second(used.rabbitmq),
        driver_cores: per_second(used.load),
    })
}

/// Waits for `time`. Fails if a loop ends meanwhile.
async fn keep_running(loops: &mut JoinSet<Result<()>>, time: Duration) -> Result<()> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        Some(ended) = loops.join_next() => {
            ended??;
            bail!("a loop of the baseline has ended by itself")
        }
    }
}

async fn clear(stack: &Stack) -> Result<()> {
    broker::purge(&stack.amqp_url(Service::Order)).await?;
    for service in Service::ALL {
        database::clear(&stack.database_url(service), service).await?;
    }
    Ok(())
}

impl Baseline {
    /// Returns whether this is the result of both servers together, in batches of this size.
    pub(crate) fn is_of_both(&self, batch: usize) -> bool {
        self.driven == Sides::Both && self.orders_in_a_batch == batch
    }

    /// Returns whether each message contained several events.
    pub(crate) fn is_bundled(&self) -> bool {
        self.events_per_message > 1
    }
}
