//! Measures the stack: the sizes of the images, the time until the containers are healthy, and their memory.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use testkit::load::{Mix, Until, closed_loop};

use crate::{
    docker::docker,
    headline,
    stack::{CONTAINERS, SERVICES, Stack, Start, TAG},
};

const SKUS: u64 = 100;
const CONNECTIONS: usize = 64;
const MB: f64 = 1e6;
const MIB: f64 = 1024.0 * 1024.0;

/// The results.
pub(crate) struct Figures {
    start: Start,
    sizes: BTreeMap<&'static str, Size>,
    rest: Memory,
    load: Memory,
    rate: f64,
}

/// Size of an image in bytes, and without its base image.
#[derive(Clone, Copy)]
struct Size {
    whole: f64,
    own: Option<f64>,
}

/// Memory of each container in bytes.
type Memory = BTreeMap<&'static str, f64>;

/// Measures memory at rest and its maximum under load, and the sizes of the images.
///
/// # Errors
/// If the load fails, or Docker does not report the values.
pub(crate) async fn memory(stack: &Stack, start: Start, time: Duration) -> Result<Figures> {
    headline("memory at rest and under load");
    let mut containers = Vec::new();
    for service in CONTAINERS {
        containers.push((service, stack.container(service).await?));
    }
    let rest = sample(&containers).await?;
    let client = stack.client().await?;
    let mix = Mix::Uniform(SKUS);
    client.stock_up(mix).await?;
    let loading = closed_loop(client.addresses[0], CONNECTIONS, mix, Until::Elapsed(time));
    tokio::pin!(loading);
    let mut load = rest.clone();
    let outcome = loop {
        tokio::select! {
            outcome = &mut loading => break outcome?,
            // Docker itself takes more than a second for it.
            sampled = sample(&containers) => {
                for (service, bytes) in sampled? {
                    load.entry(service).and_modify(|most| *most = most.max(bytes));
                }
            }
        }
    };
    println!("    {:.0} orders a second, p99 {:.0} ms", outcome.rate(), outcome.milliseconds(0.99));
    stack.verified().await?;
    Ok(Figures { start, sizes: sizes().await?, rest, load, rate: outcome.rate() })
}

async fn sample(containers: &[(&'static str, String)]) -> Result<Memory> {
    let ids = containers.iter().map(|(_, id)| id.as_str());
    let arguments: Vec<&str> = ["stats", "--no-stream", "--format", "{{.MemUsage}}"].into_iter().chain(ids).collect();
    let output = docker(&arguments).await?;
    // One line per argument, such as "23.4MiB / 256MiB".
    let used = output.lines().map(|line| bytes(line.split('/').next().unwrap_or_default().trim()));
    containers.iter().zip(used).map(|((service, _), bytes)| Ok((*service, bytes?))).collect()
}

fn bytes(text: &str) -> Result<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => MIB,
        "GiB" => 1024.0 * MIB,
        other => anyhow::bail!("{other} is no unit of memory"),
    };
    Ok(digits.parse::<f64>().with_context(|| format!("{text} is no size"))? * unit)
}

async fn sizes() -> Result<BTreeMap<&'static str, Size>> {
    let base = size("debian:trixie-20260202-slim").await?;
    let mut sizes = BTreeMap::new();
    for service in SERVICES.map(|(service, _)| service).into_iter().chain(["console"]) {
        let whole = size(&format!("order-system/{service}:{TAG}")).await?;
        sizes.insert(service, Size { whole, own: Some(whole - base) });
    }
    let postgres = Size { whole: size("postgres:17.9").await?, own: None };
    sizes.extend(["order-db", "inventory-db", "payment-db"].map(|database| (database, postgres)));
    sizes.insert("rabbitmq", Size { whole: size("rabbitmq:4.3.2-management").await?, own: None });
    Ok(sizes)
}

async fn size(image: &str) -> Result<f64> {
    Ok(docker(&["image", "inspect", "--format", "{{.Size}}", image]).await?.trim().parse()?)
}

impl Figures {
    /// Returns the table for the README.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "| container | image MB | of these, its own | healthy after | memory at rest | at {:.0} orders/s |\n\
             |---|---|---|---|---|---|\n",
            self.rate
        );
        for (service, after) in &self.start {
            let Size { whole, own } = self.sizes[service];
            let own = own.map_or_else(|| "base image".to_owned(), |own| format!("{:.0}", own / MB));
            table += &format!(
                "| {service} | {:.0} | {own} | {:.0} s | {:.0} MiB | {:.0} MiB |\n",
                whole / MB,
                after.as_secs_f64(),
                self.rest[service] / MIB,
                self.load[service] / MIB
            );
        }
        table
    }
}
