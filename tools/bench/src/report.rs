//! The results as one report: Markdown for people, JSON for programs.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{
    backlog::Backlog,
    compare::{Comparison, Ratio, SideBySide},
    observers::Observed,
    scale::Scale,
    scenario::{Figures, Measured},
    stack::OnServers,
    standalone::InOneProcess,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) observed: Vec<Observed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<Scale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) side_by_side: Option<SideBySide>,
}

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
/// Headings of the columns of [`speed`].
const SPEED: [&str; 4] = ["orders/s", "p50 ms", "p99 ms", "p99.9 ms"];
/// Headings of the columns of [`ratios`].
const RATIOS: [&str; 3] = ["of the baseline", "of it bundled", "to uniform at 64"];

impl Report {
    /// Creates a report without results.
    pub(crate) fn new(machine: String) -> Self {
        Self { machine, on_servers: None, in_one_process: None, observed: Vec::new(), scale: None, side_by_side: None }
    }

    /// Returns the tables as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        if let Some(found) = &self.on_servers {
            text.push_str(&on_servers(found));
        }
        if let Some(found) = &self.in_one_process {
            text.push_str(&in_one_process(found));
        }
        if !self.observed.is_empty() {
            text.push_str(&observed(&self.observed));
        }
        if let Some(found) = &self.scale {
            text.push_str(&scale(found));
        }
        if let Some(found) = &self.side_by_side {
            text.push_str(&format!("\nThe other build is in {}.\n", found.beside.display()));
            text.push_str(&comparisons("three services", &found.on_servers));
            text.push_str(&comparisons("one process", &found.in_one_process));
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
        let heads = ["the baseline", "orders in a batch", "events in a message", "orders/s"];
        let more = ["cores: PostgreSQL", "RabbitMQ", "drivers"];
        let mut table = Table::new(heads.into_iter().chain(more).map(str::to_owned));
        for baseline in &found.baseline {
            let numbers = [baseline.postgres_cores, baseline.rabbitmq_cores, baseline.driver_cores].map(two);
            let mut row = vec![baseline.driven.name().to_owned(), baseline.orders_in_a_batch.to_string()];
            row.push(baseline.events_per_message.to_string());
            row.push(whole(baseline.orders_per_second));
            table.row(row.into_iter().chain(numbers));
        }
        text.push_str(&table.markdown());
    }
    if found.scenarios.is_empty() {
        return text;
    }
    let heads = ["three services", "connections"].into_iter().chain(SPEED).chain(RATIOS);
    let mut table = Table::new(heads.map(str::to_owned));
    let history = found.history.iter().map(|history| &history.measured);
    let all: Vec<&Measured> = found.scenarios.iter().chain(history).collect();
    for one in &all {
        table.row(speed(&one.figures).into_iter().chain(ratios(&one.figures)));
    }
    text.push_str(&table.markdown());
    if let Some(history) = &found.history {
        text.push_str(&format!("\nThe history is {} ended orders.\n", history.orders_there));
    }
    text.push_str(&resources("three services", &all));
    text.push_str(&processor("three services", &all));
    found.backlog.iter().for_each(|found| text.push_str(&backlog(found)));
    text
}

/// Returns the table of the cores and the memory that each process used.
fn resources(system: &str, all: &[&Measured]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let (cores, memory) = (headed("cores", first), headed("MiB", first));
    let heads = [system.to_owned(), "connections".to_owned()].into_iter().chain(cores);
    let mut table = Table::new(heads.chain(["load generator".to_owned()]).chain(memory));
    for one in all {
        let cores = one.processes.iter().map(|process| process.cores).chain([one.cores_of_load_generator]).map(two);
        let memory = one.processes.iter().map(|process| whole(process.mib));
        table.row(name(&one.figures).into_iter().chain(cores).chain(memory));
    }
    table.markdown()
}

/// Returns the table of the processor time per order.
fn processor(system: &str, all: &[&Measured]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let heads =
        [system.to_owned(), "connections".to_owned()].into_iter().chain(headed("processor ms per order", first));
    let mut table = Table::new(heads.chain(["together".to_owned()]));
    for one in all {
        table.row(name(&one.figures).into_iter().chain(processor_of(one).into_iter().map(two)));
    }
    table.markdown()
}

/// Returns the processor time per order of each process, and of all together, in milliseconds.
fn processor_of(one: &Measured) -> Vec<f64> {
    let each = one.processes.iter().map(|process| process.processor_milliseconds_per_order);
    each.chain([one.processor_milliseconds_per_order()]).collect()
}

/// Returns the headings of a group of columns, one for each process; the first one names the group.
fn headed(group: &str, measured: &Measured) -> Vec<String> {
    let mut heads: Vec<String> = measured.processes.iter().map(|process| process.name.to_owned()).collect();
    if let Some(first) = heads.first_mut() {
        first.insert_str(0, &format!("{group}: "));
    }
    heads
}

/// Returns the tables of two builds: three rows for each scenario.
fn comparisons(system: &str, all: &[Comparison]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let heads = [system, "connections", "build"];
    let mut rates = Table::new(heads.into_iter().chain(SPEED).chain(RATIOS).map(str::to_owned));
    let (processor, memory) = (headed("processor ms per order", &first.this.median), headed("MiB", &first.this.median));
    let heads = heads.into_iter().map(str::to_owned).chain(processor).chain(["together".to_owned()]);
    let mut resources = Table::new(heads.chain(memory));
    for one in all {
        let (other, this) = (&one.other.median, &one.this.median);
        for (build, measured) in [("other", other), ("this", this)] {
            let mut row = speed(&measured.figures);
            row.insert(2, build.to_owned());
            rates.row(row.into_iter().chain(ratios(&measured.figures)));
            let mut row = name(&measured.figures);
            row.push(build.to_owned());
            row.extend(processor_of(measured).into_iter().map(two));
            resources.row(row.into_iter().chain(measured.processes.iter().map(|process| whole(process.mib))));
        }
        let unnamed = [String::new(), String::new(), "this/other".to_owned()];
        let Ratio { orders_per_second, p50_milliseconds, p99_milliseconds, p99_9_milliseconds, .. } = one.ratio;
        let ratio = [orders_per_second, p50_milliseconds, p99_milliseconds, p99_9_milliseconds].map(two);
        rates.row(unnamed.clone().into_iter().chain(ratio).chain(RATIOS.map(|_| String::new())));
        let processor = processor_of(this).into_iter().zip(processor_of(other)).map(|(this, other)| two(this / other));
        let memory = this.processes.iter().zip(&other.processes).map(|(this, other)| two(this.mib / other.mib));
        resources.row(unnamed.into_iter().chain(processor).chain(memory));
    }
    rates.markdown() + &resources.markdown()
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
    let heads = ["one process", "connections"].into_iter().chain(SPEED).chain(["to uniform at 64"]);
    let mut table = Table::new(heads.map(str::to_owned));
    for one in &found.scenarios {
        table.row(speed(&one.figures).into_iter().chain([ratio(&one.figures)]));
    }
    let all: Vec<&Measured> = found.scenarios.iter().collect();
    let mut text = table.markdown() + &resources("one process", &all) + &processor("one process", &all);
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

fn observed(found: &[Observed]) -> String {
    let heads = ["observed by", "orders/s", "to nobody", "p50 ms", "p99 ms", "processor ms per order", "peak MiB"];
    let mut table = Table::new(heads.into_iter().chain(["events/s to each"]).map(str::to_owned));
    for one in found {
        let figures = &one.measured.figures;
        let memory = one.measured.processes.iter().map(|process| process.mib).sum();
        table.row([
            one.observer.clone(),
            whole(figures.orders_per_second),
            two(one.ratio),
            format!("{:.1}", figures.p50_milliseconds),
            format!("{:.1}", figures.p99_milliseconds),
            two(one.measured.processor_milliseconds_per_order()),
            whole(memory),
            one.events_per_second.map_or_else(String::new, whole),
        ]);
    }
    table.markdown()
}

fn scale(found: &Scale) -> String {
    let Some(first) = found.scenarios.first() else { return String::new() };
    let heads = ["replicas of each", "connections", "orders/s", "p50 ms", "p99 ms"].into_iter().map(str::to_owned);
    let processor = headed("processor ms per order", &first.measured);
    let mut table = Table::new(heads.chain(processor).chain(["together".to_owned()]));
    for one in &found.scenarios {
        let mut row = speed(&one.measured.figures);
        row[0] = one.replicas.to_string();
        // Without the latency that one order in a thousand exceeds.
        row.pop();
        table.row(row.into_iter().chain(processor_of(&one.measured).into_iter().map(two)));
    }
    let Scale { cores_of_servers, cores_of_services, .. } = found;
    let which = format!(
        "PostgreSQL and RabbitMQ on the cores {cores_of_servers}, the services and the load generator on \
         {cores_of_services}:"
    );
    format!("\n{which}\n{}", table.markdown())
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

/// Returns the columns of [`RATIOS`].
fn ratios(figures: &Figures) -> [String; 3] {
    let percent = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{:.0}%", share * 100.0));
    [percent(figures.share_of_baseline), percent(figures.share_of_bundled_baseline), ratio(figures)]
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
