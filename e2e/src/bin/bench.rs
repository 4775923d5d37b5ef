//! `cargo xtask bench`: measures the standalone system and prints what it measured, on what.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use e2e::{
    client::Client,
    load::{Mix, Outcome, Until, closed_loop},
    process::{Program, Running},
};

/// Measures the standalone system: orders a second to their end, each POST answered with it, every commit durable
/// (SQLite, WAL, synchronous=FULL).
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
    /// More settings for the measured system, such as --max-batch=256
    #[arg(last = true)]
    system: Vec<String>,
}

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let program = Program::cargo_run_release()?;
    println!("{}\n", machine(&settings.data_dir)?);
    println!(
        "| {:<24} | {:>5} | {:>9} | {:>8} | {:>8} | {:>8} | {:>9} | {:>9} |",
        "scenario", "conn.", "orders/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU cores", "peak MiB"
    );
    println!("|{}|", [26, 7, 11, 10, 10, 10, 11, 11].map(|width| "-".repeat(width)).join("|"));
    for &connections in &settings.connections {
        let scenarios = [
            (format!("uniform, {} SKUs", settings.skus), Mix::Uniform(settings.skus)),
            ("one hot SKU".to_owned(), Mix::OneHotSku),
            ("30% declined".to_owned(), Mix::Declined { skus: settings.skus, percent: 30 }),
        ];
        for (name, mix) in scenarios {
            let data_dir = settings.data_dir.join("run");
            let system = fresh(&program, &data_dir, &settings.system, mix).await?;
            let order = system.addresses[0];
            closed_loop(order, connections, mix, Until::Elapsed(settings.warm_up)).await?;
            let before = system.processor_time().unwrap_or_default();
            let outcome = closed_loop(order, connections, mix, Until::Elapsed(settings.time)).await?;
            let cores =
                (system.processor_time().unwrap_or_default() - before).as_secs_f64() / outcome.elapsed.as_secs_f64();
            println!("{}", row(&name, connections, &outcome, cores, &system));
            end(&program, system, &data_dir)?;
        }
    }
    if let Some(orders) = settings.growth {
        growth(&program, &settings, orders).await?;
    }
    Ok(())
}

async fn growth(program: &Program, settings: &Settings, orders: u64) -> Result<()> {
    const STEPS: u64 = 10;
    let (mix, connections) = (Mix::Uniform(settings.skus), 64);
    let data_dir = settings.data_dir.join("growth");
    let system = fresh(program, &data_dir, &settings.system, mix).await?;
    println!("\n| {:>9} | {:>9} | {:>10} | {:>8} |", "orders", "orders/s", "memory MiB", "disk MiB");
    println!("|{}|", [11, 11, 12, 10].map(|width| "-".repeat(width)).join("|"));
    for step in 1..=STEPS {
        let outcome = closed_loop(system.addresses[0], connections, mix, Until::Orders(orders / STEPS)).await?;
        println!(
            "| {:>9} | {:>9.0} | {:>10.1} | {:>8.0} |",
            orders / STEPS * step,
            outcome.rate(),
            system.memory().unwrap_or_default() as f64 / MIB,
            size(&data_dir)? as f64 / MIB
        );
    }
    end(program, system, &data_dir)
}

/// A new system with plenty in stock.
async fn fresh(program: &Program, data_dir: &Path, more: &[String], mix: Mix) -> Result<Running> {
    if data_dir.exists() {
        fs::remove_dir_all(data_dir)?;
    }
    let mut arguments: Vec<&str> = vec!["--log=warn"];
    arguments.extend(more.iter().map(String::as_str));
    let system = program.start(data_dir, &arguments)?;
    let client = Client::new(system.addresses)?;
    for sku in 0..mix.skus() {
        client.put_in_stock(&format!("SKU-{sku}"), 1_000_000_000).await?;
    }
    Ok(system)
}

/// Stops the system in good order and audits it: a figure of a system that lost something is worth nothing.
fn end(program: &Program, system: Running, data_dir: &Path) -> Result<()> {
    let status = system.stop()?;
    let audit = program.verify(data_dir, "0s")?;
    if !status.success() || !audit.status.success() {
        bail!("the audit after the run failed ({status}):\n{}", String::from_utf8_lossy(&audit.stdout));
    }
    fs::remove_dir_all(data_dir).context("cannot clean up")
}

fn row(name: &str, connections: usize, outcome: &Outcome, cores: f64, system: &Running) -> String {
    let mut row = format!(
        "| {name:<24} | {connections:>5} | {:>9.0} | {:>8.1} | {:>8.1} | {:>8.1} | {cores:>9.2} | {:>9.1} |",
        outcome.rate(),
        outcome.milliseconds(0.5),
        outcome.milliseconds(0.99),
        outcome.milliseconds(0.999),
        system.peak_memory().unwrap_or_default() as f64 / MIB
    );
    if outcome.pending + outcome.refused > 0 {
        row.push_str(&format!(" and {} under way (202), {} refused (503)", outcome.pending, outcome.refused));
    }
    row
}

/// What it is measured on.
fn machine(data_dir: &Path) -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "On {cores} cores ({}), Linux {}, which the load generator shares; data in {}, where a flush to the disk (fdatasync of 8 KiB) takes {:.2} ms (median of 100).",
        model.map_or("unknown", |(_, model)| model),
        kernel.trim(),
        data_dir.display(),
        flush(data_dir)?.as_secs_f64() * 1_000.0,
    ))
}

fn flush(data_dir: &Path) -> Result<Duration> {
    use std::io::Write as _;
    fs::create_dir_all(data_dir)?;
    let path = data_dir.join("flush");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.write_all(&[1; 8192])?;
        let begun = std::time::Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(path)?;
    times.sort();
    Ok(times[50])
}

fn size(directory: &Path) -> Result<u64> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
