//! Checks the Helm chart in `deploy/helm/order-system`, without a cluster.

mod network;
mod objects;
mod pods;
mod programs;
mod python;
mod rules;

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{not_checked::NotChecked, step::Step};
use objects::Objects;
use programs::Programs;

const CHART: &str = "deploy/helm/order-system";
const SCHEMAS: &str = "deploy/helm/crds";
const RENDER: &str = "tools/xtask/src/chart/render.py";
const OUTPUT: &str = "target/tools/chart/rendered";

/// Check the Helm chart: lint it, render it with several values, and check the resources
///
/// Needs Python 3.10 or newer with venv, and PyPI for the first time. Without them it says what it has not checked;
/// with CI_STRICT=1 that is an error.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    if let Some(notice) = check()? {
        println!("\n({notice})");
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the chart. Returns a notice about what could not be checked, to be repeated at the end.
///
/// # Errors
/// If something is wrong with the chart, or, with `CI_STRICT`, if something could not be checked.
pub(crate) fn check() -> anyhow::Result<Option<String>> {
    let programs = Programs::ask()?;
    println!("\n==> files of the chart");
    report(files(&programs)?)?;
    let python = match python::with_packages() {
        Ok(python) => python,
        Err(reason) => return NotChecked::new("the rendered Helm chart is", &reason).notice().map(Some),
    };
    match fs::remove_dir_all(OUTPUT) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {OUTPUT}"))?
        }
        _ => fs::create_dir_all(OUTPUT).with_context(|| format!("cannot make {OUTPUT}"))?,
    }
    Step::program("Helm chart", &python, [RENDER, CHART, SCHEMAS, OUTPUT]).run()?;
    println!("\n==> what the chart makes");
    for (name, resources) in rendered()? {
        let wrong = rules::check(&Objects::new(resources), &programs);
        println!("    {name}: {}", if wrong.is_empty() { "ok" } else { "WRONG" });
        report(wrong)?;
    }
    println!("    No cluster was started: what operators and admission webhooks would refuse is not checked.");
    Ok(None)
}

fn report(wrong: Vec<String>) -> anyhow::Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the Helm chart is wrong:\n\n    {}", wrong.join("\n    "))
}

/// Checks what needs no rendering: the alerts, the version, and that the schema names only settings that exist.
fn files(programs: &Programs) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let read = |file: &str| fs::read_to_string(file).with_context(|| format!("cannot read {file}"));
    if read(&format!("{CHART}/files/alerts.yml"))? != read("deploy/observability/alerts.yml")? {
        wrong.push("files/alerts.yml differs from deploy/observability/alerts.yml: make it a link to it".to_owned());
    }
    let version = format!("appVersion: \"{}\"\n", env!("CARGO_PKG_VERSION"));
    if !read(&format!("{CHART}/Chart.yaml"))?.contains(&version) {
        wrong.push(format!("Chart.yaml does not have {}", version.trim()));
    }
    let schema: Value = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))?)?;
    for component in ["order", "inventory", "payment", "console"] {
        let pointer = format!("/properties/{component}/properties/settings/properties");
        let settings = schema.pointer(&pointer).and_then(Value::as_object).context("the schema has no settings")?;
        for name in settings.keys().filter(|name| !programs.knows(component, name)) {
            wrong.push(format!("values.schema.json: {component} has no setting {name}"));
        }
        let known = programs.variables(component).filter(|name| !settings.contains_key(*name));
        let set_by_chart = |name: &&str| !programs::SET_BY_CHART.contains(name);
        let missing: Vec<&str> = known.filter(set_by_chart).collect();
        if !missing.is_empty() {
            println!("    note: {component} has settings that the chart does not offer: {}", missing.join(", "));
        }
    }
    Ok(wrong)
}

/// The rendered resources, by the values file.
fn rendered() -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(OUTPUT)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.insert(name, read_json(&path)?);
        }
    }
    ensure!(all.len() > 3, "only {} values files were rendered", all.len());
    Ok(all)
}

fn read_json(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}
