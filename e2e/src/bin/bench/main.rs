//! `cargo xtask bench`: measures the system and reports what it measured, on what.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod floor;
mod machine;
mod processes;
mod progress;
mod stack;
mod standalone;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use e2e::load::Mix;
use progress::Progress;

/// Measures the system: orders a second to their end, every commit durable.
///
/// It starts a PostgreSQL (fsync and synchronous_commit on) and a RabbitMQ (quorum queues, persistent, confirmed) of its own,
/// and measures what these can do, then the three services as processes on them, then the system in one process, on SQLite
/// files (WAL, synchronous=FULL).
#[derive(Debug, Parser)]
struct Settings {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Floor, Part::Stack, Part::Standalone])]
    only: Vec<Part>,
    /// How long each scenario is measured
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
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
    Floor,
    /// The three services on PostgreSQL and RabbitMQ
    Stack,
    /// The system in one process
    Standalone,
}

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    println!("{}\n", machine::describe(&settings.data_dir)?);
    let progress = Progress::of(4);
    if settings.measures(Part::Floor) {
        println!("{:#?}", stack::measure(&settings, &progress).await?);
    }
    if settings.measures(Part::Standalone) {
        standalone::measure(&settings).await?;
    }
    Ok(())
}

impl Settings {
    fn scenarios(&self) -> [(String, Mix); 3] {
        let skus = self.skus;
        [
            (format!("uniform, {skus} SKUs"), Mix::Uniform(skus)),
            ("one hot SKU".to_owned(), Mix::OneHotSku),
            ("30% declined".to_owned(), Mix::Declined { skus, percent: 30 }),
        ]
    }

    fn measures(&self, part: Part) -> bool {
        self.only.contains(&part)
    }
}
