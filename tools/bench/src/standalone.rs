//! Measures the system in one process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use testkit::{
    client::Client,
    load::{Mix, Until, closed_loop},
    process::{Program, Running},
    replica::program,
    usage,
};

use crate::{
    MIB, Settings,
    progress::Progress,
    scenario::{Figures, REFERENCE, Scenario},
};

/// The results of the system in one process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InOneProcess {
    pub(crate) scenarios: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) growth: Vec<Grown>,
}

/// The results of one scenario, with the resources that it used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) figures: Figures,
    pub(crate) cores_of_system: f64,
    pub(crate) cores_of_load_generator: f64,
    pub(crate) peak_mib_of_system: f64,
}

/// The state of the system after this number of orders.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Grown {
    pub(crate) orders: u64,
    pub(crate) orders_per_second: f64,
    pub(crate) mib_of_memory: f64,
    pub(crate) mib_on_disk: f64,
}

/// Returns the number of scenarios in [`measure`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    settings.connections().len() + 5 + usize::from(settings.growth.is_some())
}

/// Measures each scenario on a fresh system that is audited afterwards.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<InOneProcess> {
    let program = program("order-system")?;
    let program = Program::at(program.to_str().context("the path of the program is no text")?);
    let mut found = InOneProcess { scenarios: Vec::new(), growth: Vec::new() };
    let mut uniform = 0.0;
    for connections in settings.connections() {
        let measured = one(&program, settings, progress, &Scenario::uniform(settings, connections)).await?;
        if connections == REFERENCE {
            uniform = measured.figures.orders_per_second;
        }
        found.scenarios.push(measured);
    }
    for scenario in Scenario::others(settings) {
        let measured = one(&program, settings, progress, &scenario).await?;
        found.scenarios.push(Measured { figures: measured.figures.compared(uniform), ..measured });
    }
    for scenario in [Scenario::half_of(settings, uniform), Scenario::uniform(settings, 1)] {
        found.scenarios.push(one(&program, settings, progress, &scenario).await?);
    }
    if let Some(orders) = settings.growth {
        progress.next(&format!("one process, growing up to {orders} orders"));
        found.growth = growth(&program, settings, orders).await?;
    }
    Ok(found)
}

async fn one(program: &Program, settings: &Settings, progress: &Progress, scenario: &Scenario) -> Result<Measured> {
    progress.next(&format!("one process, {}", scenario.title()));
    let data_dir = settings.data_dir.join("run");
    let system = fresh(program, &data_dir, &settings.system, scenario.mix).await?;
    let order = [system.addresses[0]];
    scenario.run(&order, settings.warm_up).await?;
    let used = || [system.id(), std::process::id()].map(|id| usage::processor_time(id).unwrap_or_default());
    let before = used();
    let outcome = scenario.run(&order, settings.time).await?;
    let after = used();
    let cores = |index: usize| after[index].saturating_sub(before[index]).as_secs_f64() / outcome.elapsed.as_secs_f64();
    let measured = Measured {
        figures: scenario.figures(&outcome),
        cores_of_system: cores(0),
        cores_of_load_generator: cores(1),
        peak_mib_of_system: usage::peak_memory(system.id()).unwrap_or_default() as f64 / MIB,
    };
    end(program, system, &data_dir)?;
    Ok(measured)
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
