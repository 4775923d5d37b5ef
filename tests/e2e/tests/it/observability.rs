//! The dashboards and the alert rules in `deploy/observability/` name metrics and labels that are served.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use shared_events::Service;
use test_servers::rabbitmq;
use testkit::stack::{Options, Stack};

/// Labels that Prometheus adds, and those of `up`, which it makes.
const TARGET: [&str; 2] = ["job", "instance"];
/// The prefixes of the metrics that are checked.
const PREFIXES: [&str; 2] = ["order_system_", "rabbitmq_"];

/// Served only with TLS, which these services do not speak; `order-system/tests/it/tls.rs` reads it.
const WITH_TLS: &str = "order_system_tls_certificate_expiry_timestamp_seconds";

/// For each metric its labels, and for each label its values.
type Served = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_name_metrics_that_are_served() -> Result<()> {
    let broker = rabbitmq::Options { management: true, prometheus: true, ..rabbitmq::Options::default() };
    let mut stack = Stack::start("observability", Options { broker, ..Options::default() }).await?;
    let client = stack.client(0)?;
    client.put_in_stock("SKU-ABC", 10).await?;
    ensure!(client.place("SKU-ABC", 1, 20, None).await?.1["status"] == "CONFIRMED");
    // A counter of reconnects appears when there was one.
    tokio::task::block_in_place(|| stack.rabbitmq.stop())?;
    for number in 0..stack.replicas.len() {
        stack.readiness(number, "without the broker", |status, _| status == 503).await?;
    }
    tokio::task::block_in_place(|| stack.rabbitmq.restart())?;
    stack.ready().await?;

    let mut served = Served::new();
    let services = Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    served.entry(WITH_TLS.to_owned()).or_default().insert("service".to_owned(), services);
    for replica in &stack.replicas {
        read(&format!("http://{}/metrics", replica.address), &mut served).await?;
    }
    read(&stack.rabbitmq.metrics_url().context("it has the plugin")?, &mut served).await?;
    let mut found = 0;
    for file in files()? {
        let text = fs::read_to_string(&file)?;
        // Within JSON, quotes are escaped.
        for (metric, selector) in selectors(&text.replace("\\\"", "\"")) {
            let labels = served.get(metric).with_context(|| format!("{}: nobody serves {metric}", file.display()))?;
            check(metric, selector, labels).with_context(|| file.display().to_string())?;
            found += 1;
        }
    }
    ensure!(found > 60, "only {found} metrics were found");
    let known: BTreeSet<&str> = served.values().flat_map(|labels| labels.keys().map(String::as_str)).collect();
    for file in files()? {
        for label in grouped(&fs::read_to_string(&file)?) {
            ensure!(known.contains(label) || TARGET.contains(&label), "{}: by ({label})", file.display());
        }
    }
    for service in Service::ALL {
        ensure!(served["order_system_dead_letters"]["service"].contains(service.name()), "{service} is not measured");
    }
    stack.passed();
    Ok(())
}

/// The alert rules, their tests, and the dashboards.
fn files() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability");
    let mut files = ["alerts.yml", "alerts.test.yml"].map(|name| directory.join(name)).to_vec();
    for entry in fs::read_dir(directory.join("grafana/dashboards"))? {
        files.push(entry?.path());
    }
    Ok(files)
}

/// Reads metrics in the text format.
async fn read(url: &str, served: &mut Served) -> Result<()> {
    let text = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.error_for_status()?.text().await?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or(line.len()));
        let labels = served.entry(name.to_owned()).or_default();
        let pairs = rest.strip_prefix('{').and_then(|rest| rest.split_once("} ")).map_or("", |(pairs, _)| pairs);
        for (label, _, value) in matchers(pairs)? {
            labels.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    Ok(())
}

/// Returns each metric in a text, with its selector (what stands between its braces).
fn selectors(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for prefix in PREFIXES {
        for (start, _) in text.match_indices(prefix) {
            let rest = &text[start..];
            let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
            let (metric, rest) = rest.split_at(end);
            let selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
            found.push((metric, selector));
        }
    }
    found
}

/// Returns the labels in `by (…)`.
fn grouped(text: &str) -> impl Iterator<Item = &str> {
    let groups = text.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    groups.flat_map(|(labels, _)| labels.split(',').map(str::trim))
}

/// Returns label, operator and value of each part of a selector.
fn matchers(selector: &str) -> Result<Vec<(&str, &str, &str)>> {
    let mut found = Vec::new();
    let mut rest = selector.trim();
    while !rest.is_empty() {
        let (label, after) = rest.split_at(rest.find(['=', '!']).with_context(|| format!("no operator in {rest}"))?);
        let (operator, after) = after.split_once('"').with_context(|| format!("no value in {rest}"))?;
        let (value, after) = after.split_once('"').with_context(|| format!("no end in {rest}"))?;
        found.push((label.trim(), operator, value));
        rest = after.trim_start_matches([',', ' ']);
    }
    Ok(found)
}

/// Checks that the metric has the labels, and that a value which is required by name can occur.
fn check(metric: &str, selector: &str, labels: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    for (label, operator, value) in matchers(selector)? {
        if TARGET.contains(&label) {
            continue;
        }
        let values = labels.get(label).with_context(|| format!("{metric} has no label {label}"))?;
        let names =
            value.split('|').filter(|name| name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'));
        // Which status a request gets, and for which path, depends on the requests.
        for name in names.filter(|_| operator.starts_with('=') && !["status", "route", "le"].contains(&label)) {
            ensure!(values.contains(name), "{metric} has no {label} {name:?}, but {values:?}");
        }
    }
    Ok(())
}
