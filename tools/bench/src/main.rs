//! `cargo xtask bench`: measures the system and reports the results together with the machine. It measures the programs
//! in its own directory, which `cargo xtask bench` has compiled.

#![allow(clippy::print_stdout, reason = "the output is for the user")]

mod backlog;
mod baseline;
mod history;
mod machine;
mod processes;
mod progress;
mod report;
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
use clap::{Parser, ValueEnum};
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
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Baseline, Part::Stack, Part::Standalone])]
    only: Vec<Part>,
    /// Duration of each measurement
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Warm-up before each measurement
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Numbers of connections for the uniform load; each connection has one order at a time
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<usize>,
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
    let mut report = Report { machine: machine::describe(&settings.data_dir)?, on_servers: None, in_one_process: None };
    let standalone = settings.measures(Part::Standalone);
    let progress =
        Progress::of(stack::scenarios(&settings) + if standalone { standalone::scenarios(&settings) } else { 0 });
    if settings.measures(Part::Baseline) || settings.measures(Part::Stack) {
        report.on_servers = Some(stack::measure(&settings, &progress).await?);
    }
    if standalone {
        report.in_one_process = Some(standalone::measure(&settings, &progress).await?);
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

    /// Returns the numbers of connections for the uniform load in ascending order, always including the reference.
    fn connections(&self) -> BTreeSet<usize> {
        self.connections.iter().copied().chain([REFERENCE]).collect()
    }
}
