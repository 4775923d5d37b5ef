//! `cargo xtask bench`: measures the system and prints what it measured, on what.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod machine;
mod stack;
mod standalone;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Parser;
use e2e::load::Mix;

/// Measures the system: orders a second to their end, each POST answered with it, every commit durable.
///
/// Without --stack it is the system in one process, on SQLite files (WAL, synchronous=FULL).
#[derive(Debug, Parser)]
struct Settings {
    /// How long each scenario is measured
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How long each scenario runs before it is measured
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Connections, each with one order at a time
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<usize>,
    /// SKUs of the uniform scenario
    #[arg(long, default_value_t = 1000)]
    skus: u64,
    /// Also measures how memory grows up to so many orders, such as 1000000
    #[arg(long)]
    growth: Option<u64>,
    /// Where the data of the measured system is put; the disk under it is part of what is measured
    #[arg(long, default_value = "target/bench")]
    data_dir: PathBuf,
    /// Measures the three services as processes, on a PostgreSQL (fsync and synchronous_commit on) and a RabbitMQ (quorum
    /// queues, persistent, confirmed) that are started for it
    #[arg(long)]
    stack: bool,
    /// How many replicas of each service the stack has
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// More settings for the measured system, such as --max-batch=256
    #[arg(last = true)]
    system: Vec<String>,
}

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    println!("{}\n", machine::describe(&settings.data_dir)?);
    if settings.stack {
        return stack::measure(&settings).await;
    }
    standalone::measure(&settings).await
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
}
