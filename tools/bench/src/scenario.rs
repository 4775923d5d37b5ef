use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use serde::Serialize;
use testkit::{
    load::{Mix, Outcome, Until, closed_loop_over},
    open_loop::{OpenLoop, Wait},
};

use crate::{MIB, Settings, baseline::Baseline};

/// The number of connections at which all scenarios are compared.
pub(crate) const REFERENCE: usize = 64;

/// A scenario to measure.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: String,
    /// The content of the orders.
    pub(crate) mix: Mix,
    /// The kind of load.
    pub(crate) load: Load,
    /// The number of replicas of each service.
    pub(crate) replicas: usize,
}

/// The kind of load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// Closed loop: this number of connections, each with one order at a time.
    Closed(usize),
    /// Open loop: this number of orders per second.
    Open(f64),
}

/// The results of one scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) scenario: String,
    /// Set for a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<usize>,
    /// Set for an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled_orders_per_second: Option<f64>,
    pub(crate) orders_per_second: f64,
    /// Fraction of the baseline's rate, in batches of the same size, with one event in each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_of_baseline: Option<f64>,
    /// The same with several events in each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_of_bundled_baseline: Option<f64>,
    /// Ratio to the uniform load at 64 connections, earlier in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio_to_uniform: Option<f64>,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    pub(crate) p99_9_milliseconds: f64,
    /// Orders that had not ended when the response was sent (202).
    pub(crate) answered_before_their_end: u64,
    /// Orders that were refused (503).
    pub(crate) refused: u64,
}

impl Scenario {
    /// Returns the uniform load over this number of connections.
    pub(crate) fn uniform(settings: &Settings, connections: usize) -> Self {
        let skus = settings.skus;
        let name = if connections == 1 { "one order at a time".to_owned() } else { format!("uniform, {skus} SKUs") };
        Self { name, mix: Mix::Uniform(skus), load: Load::Closed(connections), replicas: 1 }
    }

    /// Returns the closed loops of both systems, with the uniform load in ascending order.
    pub(crate) fn closed(settings: &Settings) -> Vec<Self> {
        let uniform = settings.connections().into_iter().map(|connections| Self::uniform(settings, connections));
        uniform.chain(Self::others(settings)).collect()
    }

    /// Returns whether an earlier version of the system can run it.
    pub(crate) fn is_comparable(&self) -> bool {
        !matches!(self.mix, Mix::Refunded(_))
    }

    /// Returns what follows the closed loops, for the rate of the uniform load.
    pub(crate) fn last(settings: &Settings, uniform: f64) -> [Self; 2] {
        [Self::half_of(settings, uniform), Self::uniform(settings, 1)]
    }

    /// Returns the uniform load with two replicas of each service.
    pub(crate) fn two_replicas(settings: &Settings) -> Self {
        Self { name: "two replicas of each".to_owned(), replicas: 2, ..Self::uniform(settings, REFERENCE) }
    }

    /// Returns the other closed loops, at the reference number of connections.
    fn others(settings: &Settings) -> [Self; 4] {
        let skus = settings.skus;
        let of = |name: &str, mix| Self { name: name.to_owned(), mix, load: Load::Closed(REFERENCE), replicas: 1 };
        [
            of("one hot SKU", Mix::OneHotSku),
            of("five lines", Mix::FiveLines(skus)),
            of("30% declined", Mix::Declined { skus, percent: 30 }),
            of("each one refunded", Mix::Refunded(skus)),
        ]
    }

    /// Returns an open loop at half the rate of the uniform load.
    fn half_of(settings: &Settings, uniform: f64) -> Self {
        Self {
            name: "half of uniform, open loop".to_owned(),
            mix: Mix::Uniform(settings.skus),
            load: Load::Open(uniform / 2.0),
            replicas: 1,
        }
    }

    /// Returns whether this is the uniform load over several connections, with one replica of each service.
    pub(crate) fn is_uniform(&self) -> bool {
        matches!((self.mix, self.load), (Mix::Uniform(_), Load::Closed(2..))) && self.replicas == 1
    }

    /// Returns whether this is the scenario that others are compared with.
    pub(crate) fn is_reference(&self) -> bool {
        self.is_uniform() && self.has_reference()
    }

    /// Returns whether it is compared with the reference, or is the reference.
    pub(crate) fn has_reference(&self) -> bool {
        matches!(self.load, Load::Closed(REFERENCE))
    }

    /// Returns the scenario's name and its load.
    pub(crate) fn title(&self) -> String {
        match self.load {
            Load::Closed(connections) => format!("{}, {connections} connections", self.name),
            Load::Open(rate) => format!("{}, {rate:.0} orders/s", self.name),
        }
    }

    /// Runs the load against the order service's replicas for this time. An open loop uses the first replica only, and
    /// no API key.
    pub(crate) async fn run(&self, addresses: &[SocketAddr], key: Option<&str>, time: Duration) -> Result<Outcome> {
        match self.load {
            Load::Closed(connections) => {
                closed_loop_over(addresses, key, connections, self.mix, Until::Elapsed(time)).await
            }
            Load::Open(rate) => {
                let load = OpenLoop {
                    address: addresses[0],
                    mix: self.mix,
                    rate,
                    wait: Wait::ForTheEnd,
                    taken: Arc::default(),
                };
                load.run(tokio::time::sleep(time)).await
            }
        }
    }

    /// Converts the outcome of a run into results.
    pub(crate) fn figures(&self, outcome: &Outcome) -> Figures {
        let (connections, scheduled) = match self.load {
            Load::Closed(connections) => (Some(connections), None),
            Load::Open(rate) => (None, Some(rate)),
        };
        Figures {
            scenario: self.name.clone(),
            connections,
            scheduled_orders_per_second: scheduled,
            orders_per_second: outcome.rate(),
            share_of_baseline: None,
            share_of_bundled_baseline: None,
            ratio_to_uniform: None,
            p50_milliseconds: outcome.milliseconds(0.5),
            p99_milliseconds: outcome.milliseconds(0.99),
            p99_9_milliseconds: outcome.milliseconds(0.999),
            answered_before_their_end: outcome.pending,
            refused: outcome.refused,
        }
    }
}

impl Figures {
    /// Adds the ratio to the uniform load's rate.
    pub(crate) fn compare(&mut self, uniform: f64) {
        self.ratio_to_uniform = Some(self.orders_per_second / uniform);
    }

    /// Adds the fractions of the baseline's rates, in batches of up to as many orders as there are connections.
    pub(crate) fn compare_with_baseline(&mut self, baselines: &[Baseline]) {
        let batch = if self.connections.is_some_and(|connections| connections <= 64) { 64 } else { 256 };
        for baseline in baselines.iter().filter(|baseline| baseline.is_of_both(batch)) {
            let share = Some(self.orders_per_second / baseline.orders_per_second);
            if baseline.is_bundled() {
                self.share_of_bundled_baseline = share;
            } else {
                self.share_of_baseline = share;
            }
        }
    }
}

/// The results of one scenario, with the resources that it used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// The system's processes; all replicas of a service together.
    pub(crate) processes: Vec<Process>,
    pub(crate) cores_of_load_generator: f64,
}

/// The resources that a program used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) cores: f64,
    pub(crate) processor_milliseconds_per_order: f64,
    /// Peak memory of a process since its start; of PostgreSQL and RabbitMQ, the memory at the end of the scenario.
    pub(crate) mib: f64,
}

impl Process {
    /// Returns the resources that were used in a run with this outcome: processor time, and memory in bytes.
    pub(crate) fn new(name: &'static str, outcome: &Outcome, used: Duration, memory: u64) -> Self {
        Self {
            name,
            cores: used.as_secs_f64() / outcome.elapsed.as_secs_f64(),
            processor_milliseconds_per_order: used.as_secs_f64() * 1_000.0 / outcome.ended as f64,
            mib: memory as f64 / MIB,
        }
    }
}

impl Measured {
    /// Returns the medians of several runs of one scenario, and the sums of what was refused.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let mut median = runs[0].clone();
        let of = |value: &dyn Fn(&Self) -> f64| middle(runs.iter().map(value));
        let figures = &mut median.figures;
        figures.orders_per_second = of(&|run| run.figures.orders_per_second);
        figures.p50_milliseconds = of(&|run| run.figures.p50_milliseconds);
        figures.p99_milliseconds = of(&|run| run.figures.p99_milliseconds);
        figures.p99_9_milliseconds = of(&|run| run.figures.p99_9_milliseconds);
        figures.answered_before_their_end = runs.iter().map(|run| run.figures.answered_before_their_end).sum();
        figures.refused = runs.iter().map(|run| run.figures.refused).sum();
        let of_optional = |value: &dyn Fn(&Self) -> Option<f64>| {
            let values: Option<Vec<f64>> = runs.iter().map(value).collect();
            values.map(middle)
        };
        figures.share_of_baseline = of_optional(&|run| run.figures.share_of_baseline);
        figures.share_of_bundled_baseline = of_optional(&|run| run.figures.share_of_bundled_baseline);
        median.cores_of_load_generator = of(&|run| run.cores_of_load_generator);
        for (index, process) in median.processes.iter_mut().enumerate() {
            let of = |value: &dyn Fn(&Process) -> f64| of(&|run| value(&run.processes[index]));
            process.cores = of(&|process| process.cores);
            process.processor_milliseconds_per_order = of(&|process| process.processor_milliseconds_per_order);
            process.mib = of(&|process| process.mib);
        }
        median
    }

    /// Returns the processor time per order of all processes together, in milliseconds.
    pub(crate) fn processor_milliseconds_per_order(&self) -> f64 {
        self.processes.iter().map(|process| process.processor_milliseconds_per_order).sum()
    }
}

/// Returns the median; of an even number of values the mean of the two in the middle.
pub(crate) fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}
