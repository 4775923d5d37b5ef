//! The system in one process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use e2e::{
    client::Client,
    load::{Mix, Outcome, Until, closed_loop},
    process::{Program, Running},
    usage,
};

use crate::{MIB, Settings};

pub(crate) async fn measure(settings: &Settings) -> Result<()> {
    let program = Program::cargo_run_release()?;
    println!(
        "| {:<24} | {:>5} | {:>9} | {:>8} | {:>8} | {:>8} | {:>9} | {:>9} |",
        "scenario", "conn.", "orders/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU cores", "peak MiB"
    );
    println!("|{}|", [26, 7, 11, 10, 10, 10, 11, 11].map(|width| "-".repeat(width)).join("|"));
    for &connections in &settings.connections {
        for (name, mix) in settings.scenarios() {
            let data_dir = settings.data_dir.join("run");
            let system = fresh(&program, &data_dir, &settings.system, mix).await?;
            let order = system.addresses[0];
            closed_loop(order, connections, mix, Until::Elapsed(settings.warm_up)).await?;
            let before = usage::processor_time(system.id()).unwrap_or_default();
            let outcome = closed_loop(order, connections, mix, Until::Elapsed(settings.time)).await?;
            let used = usage::processor_time(system.id()).unwrap_or_default() - before;
            let cores = used.as_secs_f64() / outcome.elapsed.as_secs_f64();
            println!("{}", row(&name, connections, &outcome, cores, &system));
            end(&program, system, &data_dir)?;
        }
    }
    if let Some(orders) = settings.growth {
        growth(&program, settings, orders).await?;
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
            usage::memory(system.id()).unwrap_or_default() as f64 / MIB,
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
        usage::peak_memory(system.id()).unwrap_or_default() as f64 / MIB
    );
    if outcome.pending + outcome.refused > 0 {
        row.push_str(&format!(" and {} under way (202), {} refused (503)", outcome.pending, outcome.refused));
    }
    row
}

fn size(directory: &Path) -> Result<u64> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
