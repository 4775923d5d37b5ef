//! The three services as processes, on servers of their own.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    load::{Mix, Outcome, Until, closed_loop_over},
    process::cargo,
    stack::{Options, Stack},
    usage,
};
use shared_events::Service;

use crate::{MIB, Settings};

pub(crate) async fn measure(settings: &Settings) -> Result<()> {
    let built = cargo(&["build", "--release", "--workspace", "--bins"]).status()?;
    ensure!(built.success(), "the programs do not compile");
    let options = Service::ALL.into_iter().fold(
        Options { replicas: settings.replicas, ..Options::default() },
        |options, service| {
            let mut arguments = vec!["--log=warn"];
            arguments.extend(settings.system.iter().map(String::as_str));
            options.with(service, &arguments)
        },
    );
    let mut stack = Stack::start("bench", options).await?;
    println!(
        "PostgreSQL {}, RabbitMQ {}, {} of each service\n",
        stack.postgres.version(),
        stack.rabbitmq.version(),
        settings.replicas
    );
    println!(
        "| {:<24} | {:>5} | {:>9} | {:>8} | {:>8} | {:>8} | {:<27} | {:>7} | {:<22} |",
        "scenario",
        "conn.",
        "orders/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "cores: order, inv., payment",
        "machine",
        "peak MiB: o., i., p."
    );
    println!("|{}|", [26, 7, 11, 10, 10, 10, 29, 9, 24].map(|width| "-".repeat(width)).join("|"));
    let client = stack.client(0)?;
    for sku in 0..settings.skus {
        client.put_in_stock(&format!("SKU-{sku}"), 1_000_000_000).await?;
    }
    for &connections in &settings.connections {
        for (name, mix) in settings.scenarios() {
            println!("{}", scenario(&stack, settings, &name, connections, mix).await?);
        }
    }
    stack.passed();
    Ok(())
}

async fn scenario(stack: &Stack, settings: &Settings, name: &str, connections: usize, mix: Mix) -> Result<String> {
    let of_order = stack.replicas.iter().filter(|replica| replica.service == Service::Order);
    let addresses: Vec<_> = of_order.map(|replica| replica.address).collect();
    closed_loop_over(&addresses, connections, mix, Until::Elapsed(settings.warm_up)).await?;
    let (before, machine) = (used(stack), usage::machine_time().unwrap_or_default());
    let outcome = closed_loop_over(&addresses, connections, mix, Until::Elapsed(settings.time)).await?;
    let (after, machine) = (used(stack), usage::machine_time().unwrap_or_default() - machine);
    let cores = |time: Duration| time.as_secs_f64() / outcome.elapsed.as_secs_f64();
    let each: Vec<String> = before
        .iter()
        .zip(after)
        .map(|(before, after)| format!("{:.2}", cores(after.saturating_sub(*before))))
        .collect();
    Ok(row(name, connections, &outcome, &each.join(", "), cores(machine), &peaks(stack)))
}

/// The processor time of each service's replicas so far.
fn used(stack: &Stack) -> [Duration; 3] {
    Service::ALL.map(|service| of(stack, service).filter_map(usage::processor_time).sum())
}

/// The peak memory of each service's largest replica.
fn peaks(stack: &Stack) -> String {
    let peak = |service| of(stack, service).filter_map(usage::peak_memory).max().unwrap_or_default();
    Service::ALL.map(|service| format!("{:.0}", peak(service) as f64 / MIB)).join(", ")
}

fn of(stack: &Stack, service: Service) -> impl Iterator<Item = u32> {
    stack.replicas.iter().filter(move |replica| replica.service == service).filter_map(|replica| replica.id())
}

fn row(name: &str, connections: usize, outcome: &Outcome, cores: &str, machine: f64, peaks: &str) -> String {
    let mut row = format!(
        "| {name:<24} | {connections:>5} | {:>9.0} | {:>8.1} | {:>8.1} | {:>8.1} | {cores:<27} | {machine:>7.2} | {peaks:<22} |",
        outcome.rate(),
        outcome.milliseconds(0.5),
        outcome.milliseconds(0.99),
        outcome.milliseconds(0.999),
    );
    if outcome.pending + outcome.refused > 0 {
        row.push_str(&format!(" and {} under way (202), {} refused (503)", outcome.pending, outcome.refused));
    }
    row
}
