//! `cargo xtask bench`: measures the system and reports what it measured, on what. It measures the programs that lie beside
//! it, which `cargo xtask bench` has compiled.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

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

/// Measures the system: orders a second to their end, every commit durable.
///
/// It starts a PostgreSQL (fsync and synchronous_commit on) and a RabbitMQ (quorum queues, persistent, confirmed) of its own,
/// and measures what these can do, then the three services as processes on them, then the system in one process, on SQLite
/// files (WAL, synchronous=FULL).
#[derive(Debug, Parser)]
struct Settings {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Baseline, Part::Stack, Part::Standalone])]
    only: Vec<Part>,
    /// How long each scenario is measured
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How long each scenario runs before it is measured
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Connections, each with one order at a time, of the uniform load
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<usize>,
    /// SKUs of the uniform load
    #[arg(long, default_value_t = 1000)]
    skus: u64,
    /// How long inventory is stopped while orders go on coming in
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    backlog: Duration,
    /// How many ended orders the databases are filled with before they are measured once more; 0 leaves that out
    #[arg(long, default_value_t = 1_000_000)]
    history: u64,
    /// Also measures how the memory of the system in one process grows up to so many orders, such as 1000000
    #[arg(long)]
    growth: Option<u64>,
    /// Where the data of the system in one process is put; the disk under it is part of what is measured
    #[arg(long, default_value = "target/bench")]
    data_dir: PathBuf,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench/results.json")]
    json: PathBuf,
    /// Also writes the tables into docs/benchmarks.md, between its two marks
    #[arg(long)]
    write: bool,
    /// More settings for the measured system, such as --max-batch=256
    #[arg(last = true)]
    system: Vec<String>,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What PostgreSQL and RabbitMQ do with an order's rows and messages by themselves
    Baseline,
    /// The three services on PostgreSQL and RabbitMQ
    Stack,
    /// The system in one process
    Standalone,
}

const MIB: f64 = 1024.0 * 1024.0;

/// Where the tables are for people.
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

    /// The connections of the uniform load, ascending; those that everything else is compared at are always among them.
    fn connections(&self) -> BTreeSet<usize> {
        self.connections.iter().copied().chain([REFERENCE]).collect()
    }
}
