//! The results as one report: Markdown for people, JSON for programs.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{
    backlog::Backlog,
    scenario::Figures,
    stack::{self, OnServers},
    standalone::{self, InOneProcess},
    table::Table,
};

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_servers: Option<OnServers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_one_process: Option<InOneProcess>,
}

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
/// Headings of the columns of [`speed`].
const SPEED: [&str; 4] = ["orders/s", "p50 ms", "p99 ms", "p99.9 ms"];

impl Report {
    /// Returns the tables as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        if let Some(found) = &self.on_servers {
            text.push_str(&on_servers(found));
        }
        if let Some(found) = &self.in_one_process {
            text.push_str(&in_one_process(found));
        }
        text
    }

    /// Writes the report as JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let json = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the tables between the markers of a document, and leaves the rest unchanged.
    pub(crate) fn write_into(&self, path: &Path) -> Result<()> {
        let document = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (before, after) =
            around(&document).with_context(|| format!("{} cannot be written into", path.display()))?;
        let document = format!("{before}{BEGIN}\n{}\n{END}{after}", self.markdown().trim_end());
        fs::write(path, document).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Fails if the markers are missing. Called at the start, so that a long measurement is not wasted.
pub(crate) fn has_marks(path: &Path) -> Result<()> {
    let document = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    around(&document).map(drop).with_context(|| format!("{} cannot be written into", path.display()))
}

fn around(document: &str) -> Result<(&str, &str)> {
    let (before, rest) = document.split_once(BEGIN).with_context(|| format!("it has no {BEGIN}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("it has no {END} behind {BEGIN}"))?;
    ensure!(!old.contains(BEGIN) && !after.contains(BEGIN), "it has {BEGIN} twice");
    Ok((before, after))
}

fn on_servers(found: &OnServers) -> String {
    let mut text = format!("\nPostgreSQL {}, RabbitMQ {}.\n", found.postgresql_version, found.rabbitmq_version);
    if !found.baseline.is_empty() {
        let heads = ["the baseline", "orders in a batch", "orders/s", "cores: PostgreSQL", "RabbitMQ", "drivers"];
        let mut table = Table::new(heads.map(str::to_owned));
        for baseline in &found.baseline {
            let numbers = [baseline.postgres_cores, baseline.rabbitmq_cores, baseline.driver_cores].map(two);
            let mut row = vec![baseline.driven.name().to_owned(), baseline.orders_in_a_batch.to_string()];
            row.push(whole(baseline.orders_per_second));
            table.row(row.into_iter().chain(numbers));
        }
        text.push_str(&table.markdown());
    }
    if found.scenarios.is_empty() {
        return text;
    }
    let heads =
        ["three services", "connections"].into_iter().chain(SPEED).chain(["of the baseline", "to uniform at 64"]);
    let mut table = Table::new(heads.map(str::to_owned));
    let history = found.history.iter().map(|history| &history.measured);
    let all: Vec<&stack::Measured> = found.scenarios.iter().chain(history).collect();
    for one in &all {
        let share = one.figures.share_of_baseline.map_or_else(String::new, |share| format!("{:.0}%", share * 100.0));
        table.row(speed(&one.figures).into_iter().chain([share, ratio(&one.figures)]));
    }
    text.push_str(&table.markdown());
    if let Some(history) = &found.history {
        text.push_str(&format!("\nThe history is {} ended orders.\n", history.orders_there));
    }
    text.push_str(&resources(&all));
    found.backlog.iter().for_each(|found| text.push_str(&backlog(found)));
    text
}

fn resources(all: &[&stack::Measured]) -> String {
    let heads = ["three services", "connections", "cores: order", "inventory", "payment", "PostgreSQL", "RabbitMQ"];
    let more = ["load generator", "peak MiB: order", "inventory", "payment", "MiB: PostgreSQL", "RabbitMQ"];
    let mut table = Table::new(heads.into_iter().chain(more).map(str::to_owned));
    for one in all {
        let others = [one.cores_of_postgresql, one.cores_of_rabbitmq, one.cores_of_load_generator];
        let memory = one.peak_mib_of_services.into_iter().chain([one.mib_of_postgresql, one.mib_of_rabbitmq]);
        let cores = one.cores_of_services.into_iter().chain(others).map(two);
        table.row(name(&one.figures).into_iter().chain(cores).chain(memory.map(whole)));
    }
    table.markdown()
}

fn backlog(found: &Backlog) -> String {
    let heads =
        ["load, orders/s", "inventory away, s", "piled up, orders", "drained after, s", "while draining, orders/s"];
    let mut table = Table::new(heads.into_iter().chain(["refused (503)"]).map(str::to_owned));
    table.row([
        whole(found.scheduled_orders_per_second),
        whole(found.inventory_away_seconds),
        found.piled_up_orders.to_string(),
        format!("{:.1}", found.drained_after_seconds),
        whole(found.orders_per_second_while_draining),
        found.refused.to_string(),
    ]);
    table.markdown()
}

fn in_one_process(found: &InOneProcess) -> String {
    let heads = ["one process", "connections"].into_iter().chain(SPEED);
    let more = ["to uniform at 64", "cores: system", "load generator", "peak MiB"];
    let mut table = Table::new(heads.chain(more).map(str::to_owned));
    for one in &found.scenarios {
        let standalone::Measured { figures, cores_of_system, cores_of_load_generator, peak_mib_of_system } = one;
        let used = [two(*cores_of_system), two(*cores_of_load_generator), whole(*peak_mib_of_system)];
        table.row(speed(figures).into_iter().chain([ratio(figures)]).chain(used));
    }
    let mut text = table.markdown();
    if !found.growth.is_empty() {
        let mut table = Table::new(["orders there", "orders/s", "memory MiB", "disk MiB"].map(str::to_owned));
        for one in &found.growth {
            let numbers = [one.orders_per_second, one.mib_of_memory, one.mib_on_disk].map(whole);
            table.row([one.orders.to_string()].into_iter().chain(numbers));
        }
        text.push_str(&table.markdown());
    }
    text
}

/// Returns the first two columns.
fn name(figures: &Figures) -> Vec<String> {
    let connections = figures.connections.map_or_else(|| "as needed".to_owned(), |number| number.to_string());
    let mut name = figures.scenario.clone();
    // The rate counts only orders that have ended, so the others are shown here.
    if figures.answered_before_their_end + figures.refused > 0 {
        let Figures { answered_before_their_end: pending, refused, .. } = figures;
        name.push_str(&format!(" ({pending} answered with 202, {refused} with 503)"));
    }
    vec![name, connections]
}

/// Returns the first two columns, and those of [`SPEED`].
fn speed(figures: &Figures) -> Vec<String> {
    let latencies = [figures.p50_milliseconds, figures.p99_milliseconds, figures.p99_9_milliseconds];
    let mut row = name(figures);
    row.push(whole(figures.orders_per_second));
    row.extend(latencies.map(|milliseconds| format!("{milliseconds:.1}")));
    row
}

fn ratio(figures: &Figures) -> String {
    figures.ratio_to_uniform.map_or_else(String::new, two)
}

fn two(number: f64) -> String {
    format!("{number:.2}")
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}
