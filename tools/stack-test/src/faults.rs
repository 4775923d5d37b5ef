//! Containers killed under load: each comes back by itself, and nothing is lost.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{
    docker::docker,
    load_generator::LoadGenerator,
    say,
    stack::{CONTAINERS, Stack, healthy, state},
};

/// How many orders are answered between two faults.
const BETWEEN: usize = 200;

/// Each in turn, RabbitMQ and the databases too.
///
/// # Errors
/// If one does not come back, or something was lost.
pub(crate) async fn each_container_killed(stack: &Stack) -> Result<()> {
    for service in CONTAINERS {
        say(&format!("{service} is killed under load"));
        let load = LoadGenerator::start(stack, &format!("killed-{service}")).await?;
        load.answered(BETWEEN).await?;
        let begin = Instant::now();
        killed(&stack.container(service).await?).await.with_context(|| service.to_owned())?;
        all_healthy(stack).await?;
        println!("    all are healthy again after {:.0} s", begin.elapsed().as_secs_f64());
        load.are_told(stack.addresses("order", 8001).await?);
        load.answered(BETWEEN).await?;
        load.go(stack).await.with_context(|| format!("after {service} was killed"))?;
    }
    Ok(())
}

/// Several replicas of each service, of which some are killed.
///
/// # Errors
/// If they do not come up side by side, or something was lost.
pub(crate) async fn replicas(stack: &mut Stack) -> Result<()> {
    stack.up(&["inventory=3", "payment=2", "order=2"]).await?;
    let load = LoadGenerator::start(stack, "replicas").await?;
    load.answered(BETWEEN).await?;
    for service in ["order", "inventory", "payment"] {
        say(&format!("one replica of {service} is killed under load"));
        let containers = stack.containers(service).await?;
        killed(containers.last().context("a replica")?).await?;
        all_healthy(stack).await?;
        load.are_told(stack.addresses("order", 8001).await?);
        load.answered(BETWEEN).await?;
    }
    load.go(stack).await
}

/// Expect the first process of the container, as a crash does; and waits until it is back. `docker kill` would not do: to the
/// engine that is a wish of its user, and it starts no such container again.
async fn killed(container: &str) -> Result<()> {
    let before = state(container).await?;
    let process = docker(&["inspect", "--format", "{{.State.Pid}}", container]).await?;
    let kill = format!("kill -KILL {}", process.trim());
    docker(&["run", "--rm", "--pid", "host", "debian:trixie-slim", "bash", "-c", &kill]).await?;
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
