//! `cargo xtask bench`: measures the system and reports the results together with the machine. It measures the programs
//! in its own directory, which `cargo xtask bench` has compiled.

#![allow(clippy::print_stdout, reason = "the output is for the user")]

mod backlog;
mod baseline;
mod compare;
mod history;
mod machine;
mod observers;
mod processes;
mod progress;
mod report;
mod scale;
mod scenario;
mod stack;
mod standalone;
mod table;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, ValueEnum, value_parser};
use compare::{Builds, SideBySide};
use progress::Progress;
use report::Report;
use scenario::REFERENCE;

/// Measure the throughput and latency of the system: orders per second until their end, with durable commits
///
/// Starts its own PostgreSQL (fsync and synchronous_commit on) and RabbitMQ (quorum queues, persistent messages,
/// confirms). Measures first what these servers can do, then the three services as processes on them, then the system
/// in one process on SQLite files (WAL, synchronous=FULL).
#[derive(Debug, Parser)]
struct Settings {
    /// Which parts to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().iter().copied())]
    only: Vec<Part>,
    /// Duration of each measurement
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Warm-up before each measurement
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Numbers of connections for the uniform load; each connection has one order at a time
    #[arg(long, value_delimiter = ',', default_values_t = [32, 64, 256])]
    connections: Vec<usize>,
    /// Number of events per message in the bundled runs of the baseline; 1 skips them
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u16).range(1..=baseline::MAX_EVENTS))]
    bundle: u16,
    /// Compare with the programs of another build: measure both alternately in each scenario, each time on freshly
    /// started servers, and leave out the backlog, the history and the growth. DIR is the `target/release` of that
    /// build
    #[arg(long, value_name = "DIR", conflicts_with_all = ["write", "growth"])]
    beside: Option<PathBuf>,
    /// How often each build is measured in each scenario with --beside; the results are the medians
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..))]
    repeat: u32,
    /// Number of SKUs in the uniform load
    #[arg(long, default_value_t = 1000)]
    skus: u64,
    /// How long inventory is stopped while orders keep arriving
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    backlog: Duration,
    /// Number of ended orders to fill the databases with before the last measurement; 0 skips it
    #[arg(long, default_value_t = 1_000_000)]
    history: u64,
    /// Also measure how the memory of the system in one process grows up to this number of orders, such as 1000000
    #[arg(long)]
    growth: Option<u64>,
    /// Data directory of the system in one process; the speed of its disk affects the results
    #[arg(long, default_value = "target/bench")]
    data_dir: PathBuf,
    /// Output file for the results as JSON
    #[arg(long, default_value = "target/bench/results.json")]
    json: PathBuf,
    /// Also write the tables into docs/benchmarks.md, between its two markers
    #[arg(long)]
    write: bool,
    /// More arguments for the measured system, such as --max-batch=256
    #[arg(last = true)]
    system: Vec<String>,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// PostgreSQL and RabbitMQ alone, with the rows and messages of orders
    Baseline,
    /// The three services on PostgreSQL and RabbitMQ
    Stack,
    /// The system in one process
    Standalone,
    /// The system in one process with the console, listeners and traces; not with --beside
    Observers,
    /// More and more replicas of the services, with the servers on cores of their own; not with --beside
    Scale,
}

const MIB: f64 = 1024.0 * 1024.0;

/// The document that contains the tables.
const DOCUMENT: &str = "docs/benchmarks.md";

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    if settings.write {
        report::has_marks(Path::new(DOCUMENT))?;
    }
    let builds = settings.beside.as_deref().map(Builds::with).transpose()?;
    let mut report = Report::new(machine::describe(&settings.data_dir)?);
    let progress = Progress::of(
        stack::scenarios(&settings)
            + standalone::scenarios(&settings)
            + observers::scenarios(&settings)
            + scale::scenarios(&settings),
    );
    if settings.measures(Part::Baseline) || settings.measures_alone(Part::Stack) {
        report.on_servers = Some(stack::measure(&settings, &progress).await?);
    }
    if settings.measures_alone(Part::Standalone) {
        report.in_one_process = Some(standalone::measure(&settings, &progress).await?);
    }
    if settings.measures_alone(Part::Observers) {
        report.observed = observers::measure(&settings, &progress).await?;
    }
    if settings.measures_alone(Part::Scale) {
        report.scale = Some(scale::measure(&settings, &progress).await?);
    }
    if let (Some(builds), Some(beside)) = (&builds, &settings.beside) {
        let baselines = report.on_servers.as_ref().map_or(&[][..], |found| &found.baseline);
        report.side_by_side = Some(SideBySide {
            beside: beside.clone(),
            on_servers: stack::compare(builds, &settings, &progress, baselines).await?,
            in_one_process: standalone::compare(builds, &settings, &progress).await?,
        });
    }
    report.save(&settings.json)?;
    print!("{}", report.markdown());
    if settings.write {
        report.write_into(Path::new(DOCUMENT))?;
    }
    Ok(())
}

impl Settings {
    fn measures(&self, part: Part) -> bool {
        self.only.contains(&part)
    }

    /// Returns whether this part is measured without another build beside it.
    fn measures_alone(&self, part: Part) -> bool {
        self.measures(part) && self.beside.is_none()
    }

    /// Returns the number of runs of each scenario of the stack and of the system in one process.
    fn runs(&self) -> usize {
        if self.beside.is_some() { 2 * self.repeat as usize } else { 1 }
    }

    /// Returns the numbers of connections for the uniform load in ascending order, always including the reference.
    fn connections(&self) -> BTreeSet<usize> {
        self.connections.iter().copied().chain([REFERENCE]).collect()
    }
}
