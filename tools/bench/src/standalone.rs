//! Measures the system in one process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use testkit::{
    client::Client,
    load::{Mix, Until, closed_loop},
    process::{Program, Running},
    programs::Programs,
    usage,
};

use crate::{
    MIB, Part, Settings,
    compare::{Builds, Comparison},
    progress::Progress,
    scenario::{Measured, Process, REFERENCE, Scenario},
};

/// The results of the system in one process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InOneProcess {
    pub(crate) scenarios: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) growth: Vec<Grown>,
}

/// The state of the system after this number of orders.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Grown {
    pub(crate) orders: u64,
    pub(crate) orders_per_second: f64,
    pub(crate) mib_of_memory: f64,
    pub(crate) mib_on_disk: f64,
}

/// Returns the number of runs in [`measure`] or [`compare`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    if !settings.measures(Part::Standalone) {
        return 0;
    }
    (Scenario::closed(settings).len() + 2) * settings.runs() + usize::from(settings.growth.is_some())
}

/// Measures each scenario on a fresh system that is audited afterwards.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<InOneProcess> {
    let program = program(&Programs::of_this_build()?)?;
    let mut found = InOneProcess { scenarios: Vec::new(), growth: Vec::new() };
    let next = |scenario: &Scenario| progress.next(&format!("one process, {}", scenario.title()));
    let mut uniform = 0.0;
    for scenario in Scenario::closed(settings) {
        next(&scenario);
        let mut measured = one(&program, settings, &scenario).await?;
        if scenario.is_reference() {
            uniform = measured.figures.orders_per_second;
        } else if scenario.has_reference() {
            measured.figures.compare(uniform);
        }
        found.scenarios.push(measured);
    }
    for scenario in Scenario::last(settings, uniform) {
        next(&scenario);
        found.scenarios.push(one(&program, settings, &scenario).await?);
    }
    if let Some(orders) = settings.growth {
        progress.next(&format!("one process, growing up to {orders} orders"));
        found.growth = growth(&program, settings, orders).await?;
    }
    Ok(found)
}

/// Measures two builds alternately, like [`measure`].
pub(crate) async fn compare(builds: &Builds, settings: &Settings, progress: &Progress) -> Result<Vec<Comparison>> {
    if !settings.measures(Part::Standalone) {
        return Ok(Vec::new());
    }
    let run = async |programs: &Programs, scenario: &Scenario| one(&program(programs)?, settings, scenario).await;
    let last = |uniform| Scenario::last(settings, uniform);
    builds.compare("one process", settings, progress, Scenario::closed(settings), last, run).await
}

/// Returns the program of these builds.
pub(crate) fn program(programs: &Programs) -> Result<Program> {
    let path = programs.path("order-system")?;
    Ok(Program::at(path.to_str().context("the path of the program is not UTF-8")?))
}

async fn one(program: &Program, settings: &Settings, scenario: &Scenario) -> Result<Measured> {
    observed(program, settings, scenario, async |_: &Running| Ok(None)).await
}

/// Measures a scenario on a fresh system, at which `look` begins to look before the load begins, and audits it. If it
/// returns an API key, the load has it.
pub(crate) async fn observed(
    program: &Program,
    settings: &Settings,
    scenario: &Scenario,
    look: impl AsyncFnOnce(&Running) -> Result<Option<String>>,
) -> Result<Measured> {
    let data_dir = settings.data_dir.join("run");
    let system = fresh(program, &data_dir, &settings.system, scenario.mix).await?;
    let key = look(&system).await?;
    let key = key.as_deref();
    let order = [system.addresses[0]];
    scenario.run(&order, key, settings.warm_up).await?;
    let used = || [system.id(), std::process::id()].map(|id| usage::processor_time(id).unwrap_or_default());
    let before = used();
    let outcome = scenario.run(&order, key, settings.time).await?;
    let after = used();
    let [used, load] = [0, 1].map(|index: usize| after[index].saturating_sub(before[index]));
    let peak = usage::peak_memory(system.id()).unwrap_or_default();
    let measured = Measured {
        figures: scenario.figures(&outcome),
        processes: vec![Process::new("system", &outcome, used, peak)],
        cores_of_load_generator: load.as_secs_f64() / outcome.elapsed.as_secs_f64(),
    };
    end(program, system, &data_dir)?;
    Ok(measured)
}

/// Makes an API key for placing orders at the running system.
pub(crate) fn api_key(program: &Program, settings: &Settings) -> Result<String> {
    program.create_key(&settings.data_dir.join("run"), "bench", &["orders:write"])
}

async fn growth(program: &Program, settings: &Settings, orders: u64) -> Result<Vec<Grown>> {
    const STEPS: u64 = 10;
    let mix = Mix::Uniform(settings.skus);
    let data_dir = settings.data_dir.join("growth");
    let system = fresh(program, &data_dir, &settings.system, mix).await?;
    let mut grown = Vec::new();
    for step in 1..=STEPS {
        let outcome = closed_loop(system.addresses[0], REFERENCE, mix, Until::Orders(orders / STEPS)).await?;
        grown.push(Grown {
            orders: orders / STEPS * step,
            orders_per_second: outcome.rate(),
            mib_of_memory: usage::memory(system.id()).unwrap_or_default() as f64 / MIB,
            mib_on_disk: size(&data_dir)? as f64 / MIB,
        });
    }
    end(program, system, &data_dir)?;
    Ok(grown)
}

/// Starts a new system with enough stock.
async fn fresh(program: &Program, data_dir: &Path, more: &[String], mix: Mix) -> Result<Running> {
    if data_dir.exists() {
        fs::remove_dir_all(data_dir)?;
    }
    let mut arguments: Vec<&str> = vec!["--log=warn"];
    arguments.extend(more.iter().map(String::as_str));
    let system = program.start(data_dir, &arguments)?;
    Client::new(system.addresses)?.stock_up(mix).await?;
    Ok(system)
}

/// Stops the system gracefully and audits it, because results of a system that lost data would be worthless.
fn end(program: &Program, system: Running, data_dir: &Path) -> Result<()> {
    let status = system.stop()?;
    let audit = program.verify(data_dir, "0s")?;
    if !status.success() || !audit.status.success() {
        bail!("the audit after the run failed ({status}):\n{}", String::from_utf8_lossy(&audit.stdout));
    }
    fs::remove_dir_all(data_dir).context("cannot clean up")
}

fn size(directory: &Path) -> Result<u64> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
