//! Checks the files of Prometheus and Grafana in `deploy/observability/` with promtool.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::step::Step;

const FILES: &str = "deploy/observability";
const DASHBOARDS: &str = "deploy/observability/grafana/dashboards";
/// Under `target`, so that `cargo clean` removes it and nothing is installed outside the checkout.
const UNPACKED: &str = "target/tools/prometheus";
/// The queries of the dashboards, as rules that promtool can check.
const QUERIES: &str = "target/tools/dashboard-queries.json";

/// Checks Prometheus' configuration, the alert rules and the queries of the dashboards, and runs the tests of the
/// alerts.
///
/// # Errors
/// If something is wrong with them, or promtool can be neither found nor unpacked.
pub(crate) fn check() -> anyhow::Result<()> {
    let promtool = Promtool::find_or_unpack()?;
    let file = |name: &str| format!("{FILES}/{name}");
    promtool.step("configuration of Prometheus", &["check", "config", &file("prometheus.yml")]).run()?;
    promtool.step("alert rules", &["check", "rules", &file("alerts.yml")]).run()?;
    promtool.step("tests of the alerts", &["test", "rules", &file("alerts.test.yml")]).run()?;
    fs::create_dir_all("target/tools").context("cannot make target/tools")?;
    fs::write(QUERIES, queries_as_rules()?.to_string()).with_context(|| format!("cannot write {QUERIES}"))?;
    promtool.step("queries of the dashboards", &["check", "rules", QUERIES]).run()
}

/// Returns a file of rules (JSON is YAML) with each query of the dashboards, with its variables replaced.
fn queries_as_rules() -> anyhow::Result<Value> {
    let mut rules = Vec::new();
    for entry in fs::read_dir(DASHBOARDS).with_context(|| format!("cannot read {DASHBOARDS}"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let dashboard: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let panels = dashboard["panels"].as_array().context("a dashboard has panels")?;
        let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        for query in queries {
            let query = query["expr"].as_str().context("a query has an expression")?;
            let query = query.replace("$__rate_interval", "1m");
            rules.push(json!({ "record": format!("query:{}", rules.len()), "expr": query }));
        }
    }
    ensure!(!rules.is_empty(), "the dashboards have no queries");
    Ok(json!({ "groups": [{ "name": "dashboards", "rules": rules }] }))
}

/// The installed promtool, or one that was unpacked from Debian's package `prometheus` without installing it: the
/// package would start a server.
struct Promtool {
    path: PathBuf,
}

impl Promtool {
    fn find_or_unpack() -> anyhow::Result<Self> {
        let unpacked = Path::new(UNPACKED).join("usr/bin/promtool");
        let path = env::var_os("PATH").unwrap_or_default();
        let installed = env::split_paths(&path).map(|directory| directory.join("promtool"));
        if let Some(path) = installed.chain([unpacked.clone()]).find(|path| path.is_file()) {
            return Ok(Self { path });
        }
        println!("\npromtool is not installed: it is unpacked from Debian's package prometheus into {UNPACKED}, once.");
        unpack().context(
            "promtool is needed. It is part of Prometheus: put it on the PATH, or install the package prometheus \
             (Debian, Ubuntu), or https://prometheus.io/download/",
        )?;
        ensure!(unpacked.is_file(), "the package prometheus has no promtool");
        Ok(Self { path: unpacked })
    }

    fn step(&self, title: &'static str, args: &[&str]) -> Step {
        Step::program(title, &self.path, args.iter().copied())
    }
}

fn unpack() -> anyhow::Result<()> {
    fs::create_dir_all(UNPACKED).with_context(|| format!("cannot make {UNPACKED}"))?;
    let download = || run(Command::new("apt-get").args(["--quiet", "download", "prometheus"]).current_dir(UNPACKED));
    // With outdated lists, apt requests a version that the mirrors no longer have. Only root can update them.
    if download().is_err() {
        run(Command::new("apt-get").args(["--quiet", "update"]))?;
        download()?;
    }
    let files = fs::read_dir(UNPACKED)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.context("apt-get has downloaded no package")?;
    run(Command::new("dpkg").arg("--extract").arg(&package).arg(UNPACKED))?;
    fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}
