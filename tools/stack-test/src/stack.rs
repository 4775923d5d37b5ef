//! The stack under test, with its own project name, images, ports and credentials.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use reqwest::StatusCode;
use testkit::{client::Client, process::cargo};
use tokio::{process::Command, time::interval};

use crate::{
    docker::{Done, TIMEOUT, docker, run, succeeded, try_docker},
    headline,
};

const PROJECT: &str = "order-system-stack-test";
/// The tag of the images that are built here, to distinguish them from others.
pub(crate) const TAG: &str = "stack-test";
const ENV_FILE: &str = "target/stack-test/env";
const DEFINITIONS: &str = "target/stack-test/definitions.json";
const BUILD: Duration = Duration::from_secs(3000);

/// The services and the ports that they listen on in their containers.
pub(crate) const SERVICES: [(&str, u16); 3] = [("order", 8001), ("inventory", 8002), ("payment", 8003)];
/// All compose services; each has one container unless it is scaled.
pub(crate) const CONTAINERS: [&str; 8] =
    ["order", "inventory", "payment", "console", "rabbitmq", "order-db", "inventory-db", "payment-db"];
/// The port that the console listens on in its container.
pub(crate) const CONSOLE_PORT: u16 = 8000;
/// These ports are below the range for outgoing connections.
const ONE_PORT: [(&str, &str); 5] = [
    ("ORDER_PORTS", "28001"),
    ("INVENTORY_PORTS", "28002"),
    ("PAYMENT_PORTS", "28003"),
    ("CONSOLE_PORT", "28000"),
    ("MANAGEMENT_PORT", "28672"),
];
const RANGES: [(&str, &str); 5] = [
    ("CONSOLE_PORT", "28000"),
    ("ORDER_PORTS", "28101-28109"),
    ("INVENTORY_PORTS", "28201-28209"),
    ("PAYMENT_PORTS", "28301-28309"),
    ("MANAGEMENT_PORT", "28672"),
];

/// The stack, running or not.
pub(crate) struct Stack {
    ports: [(&'static str, &'static str); 5],
}

/// The time that each container took to become healthy, from the start of `docker compose up`.
pub(crate) type Start = Vec<(&'static str, Duration)>;

impl Stack {
    /// Checks the compose file, creates credentials and builds the images.
    ///
    /// # Errors
    /// If one of these fails.
    pub(crate) async fn prepare() -> Result<Self> {
        headline("credentials, images");
        fs::create_dir_all(Path::new(ENV_FILE).parent().context("it has a parent")?)?;
        let arguments = ["xtask", "credentials", "--force", "--env-file", ENV_FILE, "--definitions", DEFINITIONS];
        let made = run(Command::from(cargo(&arguments)), TIMEOUT).await?;
        ensure!(made.success, "cargo {}: {}", arguments.join(" "), made.stderr);
        let stack = Self { ports: ONE_PORT };
        for file in [ENV_FILE, ".env.example"] {
            let result =
                compose(&["--env-file", file, "--profile", "tools", "config", "-q"], &stack.ports, TIMEOUT).await?;
            ensure!(result.success && result.stderr.is_empty(), "docker compose config with {file}: {}", result.stderr);
        }
        let begin = Instant::now();
        let arguments = ["--profile", "tools", "build"];
        succeeded(&arguments, stack.try_compose(&arguments, BUILD).await?)?;
        println!("    built in {:.0} s", begin.elapsed().as_secs_f64());
        Ok(stack)
    }

    /// Runs `docker compose` with these arguments.
    ///
    /// # Errors
    /// If it fails; the error contains its output.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> Result<String> {
        succeeded(arguments, self.try_compose(arguments, TIMEOUT).await?)
    }

    async fn try_compose(&self, arguments: &[&str], limit: Duration) -> Result<Done> {
        compose(&[&["--env-file", ENV_FILE], arguments].concat(), &self.ports, limit).await
    }

    /// Starts the stack with these replicas (such as `order=2`), and waits until all containers are healthy.
    ///
    /// # Errors
    /// If a container does not become healthy.
    pub(crate) async fn up(&mut self, scale: &[&str]) -> Result<Start> {
        headline(&format!("up {}", scale.join(" ")));
        self.ports = if scale.is_empty() { ONE_PORT } else { RANGES };
        let scales: Vec<&str> = scale.iter().flat_map(|one| ["--scale", *one]).collect();
        let arguments = [&["up", "--detach", "--no-build"][..], &scales].concat();
        let begin = Instant::now();
        let up = self.compose(&arguments);
        let started = try_join_all(CONTAINERS.map(async |service| {
            let container = self.existing(service).await?;
            healthy(&container, None).await.with_context(|| service.to_owned())?;
            anyhow::Ok((service, begin.elapsed()))
        }));
        // At the same time, because `up` itself waits for dependencies.
        let (_, start) = tokio::try_join!(up, started)?;
        for service in scale.iter().filter_map(|one| one.split('=').next()) {
            for container in self.containers(service).await? {
                healthy(&container, None).await?;
            }
        }
        println!("    all are healthy after {:.0} s", begin.elapsed().as_secs_f64());
        Ok(start)
    }

    /// Returns the ids of the containers of a service.
    ///
    /// # Errors
    /// If Docker does not answer.
    pub(crate) async fn containers(&self, service: &str) -> Result<Vec<String>> {
        let ids = self.compose(&["ps", "--all", "--quiet", service]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// Returns the only container of a service.
    ///
    /// # Errors
    /// If there is none or more than one.
    pub(crate) async fn container(&self, service: &str) -> Result<String> {
        match self.containers(service).await?.as_slice() {
            [one] => Ok(one.clone()),
            other => bail!("{} containers of {service}", other.len()),
        }
    }

    async fn existing(&self, service: &str) -> Result<String> {
        let mut steps = interval(Duration::from_millis(500));
        let seen = async {
            loop {
                steps.tick().await;
                // A container that is being created can disappear under its first name, which makes the command fail.
                if let Some(one) = self.containers(service).await.unwrap_or_default().into_iter().next() {
                    return one;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, seen).await.with_context(|| format!("there is no container of {service}"))
    }

    /// Returns the published addresses of a service's replicas.
    ///
    /// # Errors
    /// If a replica is not published, or not only on this machine.
    pub(crate) async fn addresses(&self, service: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let mut all = Vec::new();
        for container in self.containers(service).await? {
            let published = docker(&["port", &container, &port.to_string()]).await?;
            let address: SocketAddr = published.trim().parse().with_context(|| format!("{service}: {published}"))?;
            ensure!(address.ip().is_loopback(), "{service} is published at {address}");
            all.push(address);
        }
        Ok(all)
    }

    /// Returns a client of the first replicas.
    ///
    /// # Errors
    /// If a replica is not published.
    pub(crate) async fn client(&self) -> Result<Client> {
        let mut first = Vec::new();
        for (service, port) in SERVICES {
            first.push(*self.addresses(service, port).await?.first().context("a replica")?);
        }
        Client::new(first.try_into().map_err(|_| anyhow::anyhow!("three services"))?)
    }

    /// Waits until all orders have ended, and checks that the audit is clean.
    ///
    /// # Errors
    /// If it is not; the error contains the report.
    pub(crate) async fn verified(&self) -> Result<String> {
        let report = self.compose(&["run", "--rm", "-T", "tools", "verify", "--wait", "120s"]).await?;
        ensure!(report.starts_with("clean"), "{report}");
        println!("    {}", report.lines().next().unwrap_or_default());
        Ok(report)
    }

    /// Checks that the development passwords do not work and the generated ones do.
    ///
    /// # Errors
    /// If one does.
    pub(crate) async fn passwords_are_its_own(&self) -> Result<()> {
        let settings = fs::read_to_string(ENV_FILE)?;
        let own = settings.lines().find_map(|line| line.strip_prefix("OPERATOR_PASSWORD=")).context("a password")?;
        let address = self.addresses("rabbitmq", 15672).await?[0];
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        for (password, expected) in [(own, StatusCode::OK), ("operator-dev", StatusCode::UNAUTHORIZED)] {
            let request = http.get(format!("http://{address}/api/overview")).basic_auth("operator", Some(password));
            let status = request.send().await?.status();
            ensure!(status == expected, "the management UI responds to the operator with {status}");
        }
        let login = r#"PGPASSWORD=order-dev psql -h "$(hostname -i)" -U order -c "select 1" order"#;
        let done = self.try_compose(&["exec", "-T", "order-db", "sh", "-c", login], TIMEOUT).await?;
        ensure!(
            !done.success && done.stderr.contains("password"),
            "a development password opens order-db: {}",
            done.stderr
        );
        Ok(())
    }
}

async fn compose(arguments: &[&str], ports: &[(&str, &str)], limit: Duration) -> Result<Done> {
    let mut command = Command::new("docker");
    // Variables in the environment would override the files.
    for line in fs::read_to_string(".env.example")?.lines() {
        command.env_remove(line.split('=').next().unwrap_or_default().trim_start_matches("# "));
    }
    command.env("TAG", TAG).envs(ports.iter().copied());
    run(command_line(command, arguments), limit).await
}

fn command_line(mut command: Command, arguments: &[&str]) -> Command {
    command.args(["compose", "--project-name", PROJECT]).args(arguments);
    command
}

/// Waits until the container is healthy. With `before`, also waits until its start time is no longer `before`, that is,
/// until it has restarted.
///
/// # Errors
/// If that takes too long.
pub(crate) async fn healthy(container: &str, before: Option<&str>) -> Result<()> {
    let mut steps = interval(Duration::from_millis(500));
    let mut seen = String::new();
    let waited = async {
        loop {
            steps.tick().await;
            seen = state(container).await?;
            let started = seen.split(' ').next();
            if seen.ends_with(" running healthy") && (before.is_none() || started != before) {
                return anyhow::Ok(());
            }
        }
    };
    let waited = tokio::time::timeout(TIMEOUT, waited).await;
    waited.unwrap_or_else(|_| Err(anyhow::anyhow!("not healthy, even after {TIMEOUT:?}: {seen}")))
}

/// Returns when the container was started, its state and its health.
///
/// # Errors
/// If there is no such container.
pub(crate) async fn state(container: &str) -> Result<String> {
    let format = "{{.State.StartedAt}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}";
    Ok(docker(&["inspect", "--format", format, container]).await?.trim().to_owned())
}

/// Returns the containers, volumes and networks of this project.
///
/// # Errors
/// If Docker does not answer.
pub(crate) async fn left() -> Result<String> {
    let filter = format!("label=com.docker.compose.project={PROJECT}");
    let mut all = String::new();
    for list in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
        all += &docker(&[list, &["--quiet", "--filter", &filter]].concat()).await?;
    }
    Ok(all)
}

/// Removes everything that belongs to the project, and the images that were built for it.
///
/// # Errors
/// If something cannot be removed.
pub(crate) async fn remove() -> Result<()> {
    let arguments = ["--profile", "tools", "down", "--volumes", "--remove-orphans", "--timeout", "10"];
    succeeded(&arguments, compose(&arguments, &[], TIMEOUT).await?)?;
    for image in SERVICES.map(|(service, _)| service).into_iter().chain(["tools"]) {
        // The image may not exist.
        let _ = try_docker(&["image", "rm", &format!("order-system/{image}:{TAG}")]).await?;
    }
    Ok(())
}

/// Prints the last lines of all logs, after a failure.
pub(crate) async fn print_logs() {
    if let Ok(done) = compose(&["logs", "--no-color", "--tail", "10"], &[], TIMEOUT).await {
        println!("{}", done.stdout);
    }
}
