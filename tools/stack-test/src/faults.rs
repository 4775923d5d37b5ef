//! Kills containers under load, and checks that each restarts by itself and that nothing is lost.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{
    confined::IMAGE,
    docker::docker,
    headline,
    load_generator::LoadGenerator,
    stack::{CONTAINERS, Stack, healthy, state},
};

/// Number of orders that are answered between two faults.
const BETWEEN: usize = 200;

/// Kills each container in turn, including RabbitMQ and the databases.
///
/// # Errors
/// If a container does not restart, or something was lost.
pub(crate) async fn each_container_killed(stack: &Stack) -> Result<()> {
    for service in CONTAINERS {
        headline(&format!("{service} is killed under load"));
        let load = LoadGenerator::start(stack, &format!("killed-{service}")).await?;
        load.answered(BETWEEN).await?;
        let started = Instant::now();
        kill(&stack.container(service).await?).await.with_context(|| service.to_owned())?;
        all_healthy(stack).await?;
        println!("    all are healthy again after {:.0} s", started.elapsed().as_secs_f64());
        load.set_addresses(stack.addresses("order", 8001).await?);
        load.answered(BETWEEN).await?;
        load.stop_and_check(stack).await.with_context(|| format!("after {service} was killed"))?;
    }
    Ok(())
}

/// Kills single replicas while each service has several.
///
/// # Errors
/// If the replicas do not start, or something was lost.
pub(crate) async fn replicas(stack: &mut Stack) -> Result<()> {
    stack.up(&["inventory=3", "payment=2", "order=2"]).await?;
    let load = LoadGenerator::start(stack, "replicas").await?;
    load.answered(BETWEEN).await?;
    for service in ["order", "inventory", "payment"] {
        headline(&format!("one replica of {service} is killed under load"));
        let containers = stack.containers(service).await?;
        kill(containers.last().context("a replica")?).await?;
        all_healthy(stack).await?;
        load.set_addresses(stack.addresses("order", 8001).await?);
        load.answered(BETWEEN).await?;
    }
    load.stop_and_check(stack).await
}

/// Kills the first process of the container, as in a crash, and waits until the container is healthy again.
/// `docker kill` would not work: Docker treats it as a stop by the user, and does not restart the container.
async fn kill(container: &str) -> Result<()> {
    let before = state(container).await?;
    let process = docker(&["inspect", "--format", "{{.State.Pid}}", container]).await?;
    let kill = format!("kill -KILL {}", process.trim());
    docker(&["run", "--rm", "--pid", "host", IMAGE, "bash", "-c", &kill]).await?;
    healthy(container, before.split(' ').next()).await
}

async fn all_healthy(stack: &Stack) -> Result<()> {
    for service in CONTAINERS {
        for container in stack.containers(service).await? {
            healthy(&container, None).await.with_context(|| service.to_owned())?;
        }
    }
    Ok(())
}
