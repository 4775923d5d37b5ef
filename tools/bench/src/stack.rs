//! Measures the three services as processes, on their own servers.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;
use shared_events::Service;
use testkit::{
    load::Mix,
    stack::{Options, Stack},
    usage,
};
use tokio::task::block_in_place;

use crate::{
    MIB, Part, Settings,
    backlog::{self, Backlog},
    baseline::{self, Baseline},
    history,
    processes::Servers,
    progress::Progress,
    scenario::{Figures, Load, REFERENCE, Scenario},
};

/// The results on PostgreSQL and RabbitMQ.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OnServers {
    pub(crate) postgresql_version: String,
    pub(crate) rabbitmq_version: String,
    pub(crate) baseline: Vec<Baseline>,
    pub(crate) scenarios: Vec<Measured>,
    pub(crate) backlog: Option<Backlog>,
    pub(crate) history: Option<History>,
}

/// The results of one scenario, with the resources that it used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Cores used by order, inventory and payment; all replicas of a service together.
    pub(crate) cores_of_services: [f64; 3],
    pub(crate) cores_of_postgresql: f64,
    pub(crate) cores_of_rabbitmq: f64,
    pub(crate) cores_of_load_generator: f64,
    /// Peak memory of a process of order, inventory and payment since its start.
    pub(crate) peak_mib_of_services: [f64; 3],
    /// Memory at the end of the scenario.
    pub(crate) mib_of_postgresql: f64,
    /// Memory at the end of the scenario.
    pub(crate) mib_of_rabbitmq: f64,
}

/// The results of the uniform load on databases with a long history.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct History {
    pub(crate) orders_there: i64,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// Returns the number of scenarios in [`measure`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    let baseline = if settings.measures(Part::Baseline) { baseline::RUNS.len() } else { 0 };
    if !settings.measures(Part::Stack) {
        return baseline;
    }
    baseline + settings.connections().len() + 7 + if settings.history > 0 { 2 } else { 0 }
}

/// Measures the baseline and the services, according to the settings.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<OnServers> {
    // The second replicas are used in one scenario only.
    let options = Service::ALL.into_iter().fold(Options { replicas: 2, ..Options::default() }, |options, service| {
        // The default log filter without informational lines. lapin is off because it logs an orderly end as an error.
        let mut arguments = vec!["--log=warn,lapin=off"];
        arguments.extend(settings.system.iter().map(String::as_str));
        options.with(service, &arguments)
    });
    let mut stack = Stack::servers("bench", options).await?;
    let mut found = OnServers {
        postgresql_version: stack.postgres.version().to_owned(),
        rabbitmq_version: stack.rabbitmq.version().to_owned(),
        baseline: Vec::new(),
        scenarios: Vec::new(),
        backlog: None,
        history: None,
    };
    // The services create the tables, the exchanges and the queues.
    start_first(&mut stack).await?;
    if settings.measures(Part::Baseline) {
        stop(&mut stack, |_| true).await?;
        found.baseline = baseline::measure(&stack, settings, progress).await?;
        start_first(&mut stack).await?;
    }
    if settings.measures(Part::Stack) {
        services(&mut stack, settings, progress, &mut found).await?;
    }
    stack.passed();
    Ok(found)
}

async fn services(stack: &mut Stack, settings: &Settings, progress: &Progress, found: &mut OnServers) -> Result<()> {
    let client = stack.client(0)?;
    client.stock_up(Mix::Uniform(settings.skus)).await?;
    let mut uniform = 0.0;
    for connections in settings.connections() {
        let mut measured = one(stack, settings, progress, &Scenario::uniform(settings, connections)).await?;
        let batch = if connections <= 64 { 64 } else { 256 };
        let baseline = found.baseline.iter().find(|baseline| baseline.is_of_both(batch));
        let rate = measured.figures.orders_per_second;
        measured.figures.share_of_baseline = baseline.map(|baseline| rate / baseline.orders_per_second);
        if connections == REFERENCE {
            uniform = rate;
        }
        found.scenarios.push(measured);
    }
    let compared = |measured: Measured| Measured { figures: measured.figures.compared(uniform), ..measured };
    for scenario in Scenario::others(settings) {
        found.scenarios.push(compared(one(stack, settings, progress, &scenario).await?));
    }
    stack.start_all()?;
    stack.ready().await?;
    let two = Scenario { name: "two replicas of each".to_owned(), ..Scenario::uniform(settings, REFERENCE) };
    found.scenarios.push(compared(one(stack, settings, progress, &two).await?));
    let first: Vec<SocketAddr> = client.addresses.to_vec();
    stop(stack, |address| !first.contains(&address)).await?;
    found.scenarios.push(one(stack, settings, progress, &Scenario::half_of(settings, uniform)).await?);
    found.scenarios.push(one(stack, settings, progress, &Scenario::uniform(settings, 1)).await?);

    progress.next("a backlog, with inventory stopped");
    found.backlog = Some(backlog::measure(stack, settings, uniform / 2.0).await?);
    // Results of a system that lost data would be worthless.
    stack.verified().await?;
    stack.no_errors()?;
    if settings.history > 0 {
        progress.next(&format!("filling the databases up to {} orders", settings.history));
        stop(stack, |_| true).await?;
        let orders_there = history::fill(stack, settings.history)?;
        start_first(stack).await?;
        let full = Scenario { name: "with a history".to_owned(), ..Scenario::uniform(settings, REFERENCE) };
        let measured = compared(one(stack, settings, progress, &full).await?);
        backlog::at_rest(stack).await?;
        stack.no_errors()?;
        found.history = Some(History { orders_there, measured });
    }
    Ok(())
}

async fn one(stack: &mut Stack, settings: &Settings, progress: &Progress, scenario: &Scenario) -> Result<Measured> {
    progress.next(&format!("services, {}", scenario.title()));
    // A checkpoint, so that no scenario pays for writes of an earlier one.
    block_in_place(|| stack.postgres.psql("postgres", "CHECKPOINT"))?;
    // Replicas that are stopped have no process.
    let running = stack.replicas.iter().filter_map(|replica| Some((replica.service, replica.address, replica.id()?)));
    let running: Vec<(Service, SocketAddr, u32)> = running.collect();
    let orders = running.iter().filter(|(service, ..)| *service == Service::Order);
    let mut addresses: Vec<SocketAddr> = orders.map(|(_, address, _)| *address).collect();
    if matches!(scenario.load, Load::Open(_)) {
        addresses.truncate(1);
    }
    let of = |service: Service| running.iter().filter(move |one| one.0 == service).map(|one| one.2);
    let used_by = || Service::ALL.map(|service| of(service).filter_map(usage::processor_time).sum::<Duration>());
    let servers = Servers::of(stack)?;

    scenario.run(&addresses, settings.warm_up).await?;
    let (services_before, before) = (used_by(), servers.used());
    let outcome = scenario.run(&addresses, settings.time).await?;
    let (services_after, used) = (used_by(), servers.used().since(before));
    let (postgres, rabbitmq) = servers.memory();
    let cores = |time: Duration| time.as_secs_f64() / outcome.elapsed.as_secs_f64();
    let each = |index: usize| cores(services_after[index].saturating_sub(services_before[index]));
    let peak = |service| of(service).filter_map(usage::peak_memory).max().unwrap_or_default() as f64 / MIB;
    Ok(Measured {
        figures: scenario.figures(&outcome),
        cores_of_services: [each(0), each(1), each(2)],
        cores_of_postgresql: cores(used.postgres),
        cores_of_rabbitmq: cores(used.rabbitmq),
        cores_of_load_generator: cores(used.load),
        peak_mib_of_services: Service::ALL.map(peak),
        mib_of_postgresql: postgres as f64 / MIB,
        mib_of_rabbitmq: rabbitmq as f64 / MIB,
    })
}

/// Starts the first replica of each service.
async fn start_first(stack: &mut Stack) -> Result<()> {
    for service in Service::ALL {
        stack.replica(service, 0)?.start()?;
    }
    stack.ready().await
}

/// Stops the running replicas whose address `chosen` accepts, gracefully.
async fn stop(stack: &mut Stack, chosen: impl Fn(SocketAddr) -> bool) -> Result<()> {
    for replica in &mut stack.replicas {
        if replica.runs() && chosen(replica.address) {
            let status = replica.stop().await?;
            ensure!(status.success(), "{replica} ended with {status}");
        }
    }
    Ok(())
}
