//! Measures replicas of the services on a fixed number of cores, with the servers on cores of their own.

use std::{process::Command, thread::available_parallelism};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use testkit::{load::Mix, programs::Programs, stack::Stack};

use crate::{
    Part, Settings,
    processes::Servers,
    progress::Progress,
    scenario::{Measured, REFERENCE, Scenario},
    stack,
};

/// The numbers of replicas of each service.
const REPLICAS: [usize; 3] = [1, 2, 4];
/// The numbers of connections of the load.
const CONNECTIONS: [usize; 2] = [REFERENCE, 256];

/// The results of replicas with cores of their own.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scale {
    /// The cores of PostgreSQL and RabbitMQ, as `taskset` writes them.
    pub(crate) cores_of_servers: String,
    /// The cores of the services and the load generator.
    pub(crate) cores_of_services: String,
    pub(crate) scenarios: Vec<Scaled>,
}

/// The results with this number of replicas of each service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scaled {
    pub(crate) replicas: usize,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// Returns the number of runs in [`measure`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    if settings.measures_alone(Part::Scale) { REPLICAS.len() * CONNECTIONS.len() } else { 0 }
}

/// Gives the servers the first half of the cores, and the services and the load generator the rest, and measures the
/// uniform load with more and more replicas.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<Scale> {
    let cores = available_parallelism()?.get();
    ensure!(cores >= 2, "replicas can only be measured on two cores or more; leave `scale` out of --only");
    let list = |from: usize, to: usize| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let (of_servers, of_services) = (list(0, cores / 2 - 1), list(cores / 2, cores - 1));
    let most = REPLICAS.into_iter().max().unwrap_or_default();
    let mut stack = stack::servers(settings, &Programs::of_this_build()?, most).await?;
    let mut found = Vec::new();
    for replicas in REPLICAS {
        stack::run_replicas(&mut stack, replicas).await?;
        // Processes that they start later, such as PostgreSQL's sessions, inherit the cores.
        for id in Servers::of(&stack)?.ids() {
            pin(id, &of_servers)?;
        }
        pin_services(&stack, &of_services)?;
        if found.is_empty() {
            stack.client(0)?.stock_up(Mix::Uniform(settings.skus)).await?;
        }
        for connections in CONNECTIONS {
            let scenario = Scenario { replicas, ..Scenario::uniform(settings, connections) };
            progress.next(&format!("{replicas} replicas on cores of their own, {}", scenario.title()));
            let measured = stack::running(&stack, settings, &scenario, &[]).await?;
            found.push(Scaled { replicas, measured });
        }
    }
    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    pin(std::process::id(), &list(0, cores - 1))?;
    Ok(Scale { cores_of_servers: of_servers, cores_of_services: of_services, scenarios: found })
}

fn pin_services(stack: &Stack, cores: &str) -> Result<()> {
    let services = stack.replicas.iter().filter_map(testkit::replica::Replica::id);
    services.chain([std::process::id()]).try_for_each(|id| pin(id, cores))
}

/// Lets a process, with all of its threads, run on these cores only.
fn pin(id: u32, cores: &str) -> Result<()> {
    let id = id.to_string();
    let output = Command::new("taskset").args(["-a", "-c", "-p", cores, &id]).output();
    let output = output.context("cannot run taskset, which is in the package util-linux")?;
    // A process that has ended meanwhile needs no cores.
    let has_ended = !std::path::Path::new("/proc").join(&id).exists();
    ensure!(output.status.success() || has_ended, "taskset: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
