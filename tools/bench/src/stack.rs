//! Measures the three services as processes, on their own servers.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;
use shared_events::Service;
use testkit::{
    load::Mix,
    programs::Programs,
    stack::{Options, Stack},
    usage,
};
use tokio::task::block_in_place;

use crate::{
    Part, Settings,
    backlog::{self, Backlog},
    baseline::{self, Baseline},
    compare::{Builds, Comparison},
    history,
    processes::Servers,
    progress::Progress,
    scenario::{Measured, Process, REFERENCE, Scenario},
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

/// The results of the uniform load on databases with a long history.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct History {
    pub(crate) orders_there: i64,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// The number of replicas of each service. The second ones run in one scenario only.
const REPLICAS: usize = 2;

/// Returns the number of runs in [`measure`] and [`compare`].
pub(crate) fn scenarios(settings: &Settings) -> usize {
    let baseline = if settings.measures(Part::Baseline) { baseline::runs(settings) } else { 0 };
    if !settings.measures(Part::Stack) {
        return baseline;
    }
    let more = if settings.beside.is_some() { 0 } else { 1 + if settings.history > 0 { 2 } else { 0 } };
    baseline + (closed(settings).len() + 2) * settings.runs() + more
}

/// Returns the closed loops, with those that need several processes.
fn closed(settings: &Settings) -> Vec<Scenario> {
    Scenario::closed(settings).into_iter().chain([Scenario::two_replicas(settings)]).collect()
}

/// Measures the baseline and the services of this build, according to the settings.
pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<OnServers> {
    let mut stack = servers(settings, &Programs::of_this_build()?, REPLICAS).await?;
    let mut found = OnServers {
        postgresql_version: stack.postgres.version().to_owned(),
        rabbitmq_version: stack.rabbitmq.version().to_owned(),
        baseline: Vec::new(),
        scenarios: Vec::new(),
        backlog: None,
        history: None,
    };
    // The services create the tables, the exchanges and the queues.
    run_replicas(&mut stack, 1).await?;
    if settings.measures(Part::Baseline) {
        run_replicas(&mut stack, 0).await?;
        found.baseline = baseline::measure(&stack, settings, progress).await?;
    }
    if settings.measures_alone(Part::Stack) {
        services(&mut stack, settings, progress, &mut found).await?;
    }
    stack.passed();
    Ok(found)
}

/// Measures two builds alternately, each run on servers and services of its own, and audits each.
pub(crate) async fn compare(
    builds: &Builds,
    settings: &Settings,
    progress: &Progress,
    baselines: &[Baseline],
) -> Result<Vec<Comparison>> {
    if !settings.measures(Part::Stack) {
        return Ok(Vec::new());
    }
    let run = async |programs: &Programs, scenario: &Scenario| {
        let mut stack = servers(settings, programs, REPLICAS).await?;
        run_replicas(&mut stack, 1).await?;
        stack.client(0)?.stock_up(scenario.mix).await?;
        let measured = one(&mut stack, settings, scenario, baselines).await?;
        stack.verified().await?;
        stack.no_errors()?;
        stack.passed();
        Ok(measured)
    };
    let last = |uniform| Scenario::last(settings, uniform);
    builds.compare("services", settings, progress, closed(settings), last, run).await
}

/// Starts the servers for these programs, with up to this number of replicas of each service.
pub(crate) async fn servers(settings: &Settings, programs: &Programs, replicas: usize) -> Result<Stack> {
    let options = Options { programs: Some(programs.clone()), replicas, ..Options::default() };
    let options = Service::ALL.into_iter().fold(options, |options, service| {
        // The default log filter without informational lines. lapin is off because it logs an orderly end as an error.
        let mut arguments = vec!["--log=warn,lapin=off"];
        arguments.extend(settings.system.iter().map(String::as_str));
        options.with(service, &arguments)
    });
    Stack::servers("bench", options).await
}

async fn services(stack: &mut Stack, settings: &Settings, progress: &Progress, found: &mut OnServers) -> Result<()> {
    run_replicas(stack, 1).await?;
    stack.client(0)?.stock_up(Mix::Uniform(settings.skus)).await?;
    let next = |scenario: &Scenario| progress.next(&format!("services, {}", scenario.title()));
    let mut uniform = 0.0;
    for scenario in closed(settings) {
        next(&scenario);
        let mut measured = one(stack, settings, &scenario, &found.baseline).await?;
        if scenario.is_reference() {
            uniform = measured.figures.orders_per_second;
        } else if scenario.has_reference() {
            measured.figures.compare(uniform);
        }
        found.scenarios.push(measured);
    }
    for scenario in Scenario::last(settings, uniform) {
        next(&scenario);
        found.scenarios.push(one(stack, settings, &scenario, &found.baseline).await?);
    }

    progress.next("a backlog, with inventory stopped");
    found.backlog = Some(backlog::measure(stack, settings, uniform / 2.0).await?);
    // Results of a system that lost data would be worthless.
    stack.verified().await?;
    stack.no_errors()?;
    if settings.history > 0 {
        progress.next(&format!("filling the databases up to {} orders", settings.history));
        run_replicas(stack, 0).await?;
        let orders_there = history::fill(stack, settings.history)?;
        let full = Scenario { name: "with a history".to_owned(), ..Scenario::uniform(settings, REFERENCE) };
        next(&full);
        let mut measured = one(stack, settings, &full, &[]).await?;
        measured.figures.compare(uniform);
        backlog::at_rest(stack).await?;
        stack.no_errors()?;
        found.history = Some(History { orders_there, measured });
    }
    Ok(())
}

/// Measures one scenario, with as many replicas as it needs.
async fn one(stack: &mut Stack, settings: &Settings, scenario: &Scenario, baselines: &[Baseline]) -> Result<Measured> {
    run_replicas(stack, scenario.replicas).await?;
    running(stack, settings, scenario, baselines).await
}

/// Measures one scenario with the replicas that run.
pub(crate) async fn running(
    stack: &Stack,
    settings: &Settings,
    scenario: &Scenario,
    baselines: &[Baseline],
) -> Result<Measured> {
    // A checkpoint, so that no scenario pays for writes of an earlier one.
    block_in_place(|| stack.postgres.psql("postgres", "CHECKPOINT"))?;
    // Replicas that are stopped have no process.
    let running = stack.replicas.iter().filter_map(|replica| Some((replica.service, replica.address, replica.id()?)));
    let running: Vec<(Service, SocketAddr, u32)> = running.collect();
    let orders = running.iter().filter(|(service, ..)| *service == Service::Order);
    let addresses: Vec<SocketAddr> = orders.map(|(_, address, _)| *address).collect();
    let of = |service: Service| running.iter().filter(move |one| one.0 == service).map(|one| one.2);
    let used_by = || Service::ALL.map(|service| of(service).filter_map(usage::processor_time).sum::<Duration>());
    let servers = Servers::of(stack)?;

    scenario.run(&addresses, None, settings.warm_up).await?;
    let (services_before, before) = (used_by(), servers.used());
    let outcome = scenario.run(&addresses, None, settings.time).await?;
    let (services_after, used) = (used_by(), servers.used().since(before));
    let (postgres, rabbitmq) = servers.memory();
    let services = Service::ALL.into_iter().zip(services_before.into_iter().zip(services_after));
    let services = services.map(|(service, (before, after))| {
        let peak = of(service).filter_map(usage::peak_memory).max().unwrap_or_default();
        Process::new(service.name(), &outcome, after.saturating_sub(before), peak)
    });
    let postgres = Process::new("PostgreSQL", &outcome, used.postgres, postgres);
    let rabbitmq = Process::new("RabbitMQ", &outcome, used.rabbitmq, rabbitmq);
    let mut figures = scenario.figures(&outcome);
    if scenario.is_uniform() {
        figures.compare_with_baseline(baselines);
    }
    Ok(Measured {
        figures,
        processes: services.chain([postgres, rabbitmq]).collect(),
        cores_of_load_generator: used.load.as_secs_f64() / outcome.elapsed.as_secs_f64(),
    })
}

/// Lets the first `count` replicas of each service run, and no others. Stops replicas gracefully.
pub(crate) async fn run_replicas(stack: &mut Stack, count: usize) -> Result<()> {
    let all = stack.replicas.len() / Service::ALL.len();
    for service in Service::ALL {
        for number in 0..all {
            let replica = stack.replica(service, number)?;
            match (number < count, replica.runs()) {
                (true, false) => replica.start()?,
                (false, true) => {
                    let status = replica.stop().await?;
                    ensure!(status.success(), "{replica} ended with {status}");
                }
                _ => {}
            }
        }
    }
    stack.ready().await
}
