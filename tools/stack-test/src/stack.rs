//! The stack under test: its own project name, images, ports and credentials.

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
    say,
};

const PROJECT: &str = "order-system-stack-test";
/// The tag of the images that are built here, so that they are told from the ones that people use.
pub(crate) const TAG: &str = "stack-test";
const ENV_FILE: &str = "target/stack-test/env";
const DEFINITIONS: &str = "target/stack-test/definitions.json";
const BUILD: Duration = Duration::from_secs(3000);

/// The services, with the port that each listens on in its container.
pub(crate) const SERVICES: [(&str, u16); 3] = [("order", 8001), ("inventory", 8002), ("payment", 8003)];
/// All that runs: a container each, as long as nothing is scaled.
pub(crate) const CONTAINERS: [&str; 7] =
    ["order", "inventory", "payment", "rabbitmq", "order-db", "inventory-db", "payment-db"];
/// Below the ports that a system gives to outgoing connections.
const ONE_PORT: [(&str, &str); 4] =
    [("ORDER_PORTS", "28001"), ("INVENTORY_PORTS", "28002"), ("PAYMENT_PORTS", "28003"), ("MANAGEMENT_PORT", "28672")];
const RANGES: [(&str, &str); 4] = [
    ("ORDER_PORTS", "28101-28109"),
    ("INVENTORY_PORTS", "28201-28209"),
    ("PAYMENT_PORTS", "28301-28309"),
    ("MANAGEMENT_PORT", "28672"),
];

/// The stack, up or down.
pub(crate) struct Stack {
    ports: [(&'static str, &'static str); 4],
}

/// How long each container took to be healthy, from the moment of `docker compose up`.
pub(crate) type Start = Vec<(&'static str, Duration)>;

impl Stack {
    /// Checks the file, makes credentials and builds the images.
    ///
    /// # Errors
    /// If one of these fails.
    pub(crate) async fn prepare() -> Result<Self> {
        say("credentials, images");
        fs::create_dir_all(Path::new(ENV_FILE).parent().context("it has a parent")?)?;
        let arguments = ["xtask", "credentials", "--force", "--env-file", ENV_FILE, "--definitions", DEFINITIONS];
        let made = run(Command::from(cargo(&arguments)), TIMEOUT).await?;
        ensure!(made.success, "cargo {}: {}", arguments.join(" "), made.stderr);
        let stack = Self { ports: ONE_PORT };
        for file in [ENV_FILE, ".env.example"] {
            let said =
                compose(&["--env-file", file, "--profile", "tools", "config", "-q"], &stack.ports, TIMEOUT).await?;
            ensure!(said.success && said.stderr.is_empty(), "docker compose config with {file}: {}", said.stderr);
        }
        let begin = Instant::now();
        let arguments = ["--profile", "tools", "build"];
        succeeded(&arguments, stack.try_compose(&arguments, BUILD).await?)?;
        println!("    built in {:.0} s", begin.elapsed().as_secs_f64());
        Ok(stack)
    }

    /// `docker compose` with these arguments.
    ///
    /// # Errors
    /// If it fails: with what it said.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> Result<String> {
        succeeded(arguments, self.try_compose(arguments, TIMEOUT).await?)
    }

    async fn try_compose(&self, arguments: &[&str], patience: Duration) -> Result<Done> {
        compose(&[&["--env-file", ENV_FILE], arguments].concat(), &self.ports, patience).await
    }

    /// Starts it, with these replicas (such as `order=2`), until all are healthy.
    ///
    /// # Errors
    /// If one does not get healthy.
    pub(crate) async fn up(&mut self, scale: &[&str]) -> Result<Start> {
        say(&format!("up {}", scale.join(" ")));
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
        // Together, because `up` itself waits for what others depend on.
        let (_, start) = tokio::try_join!(up, started)?;
        for service in scale.iter().filter_map(|one| one.split('=').next()) {
            for container in self.containers(service).await? {
                healthy(&container, None).await?;
            }
        }
        println!("    all are healthy after {:.0} s", begin.elapsed().as_secs_f64());
        Ok(start)
    }

    /// The ids of the containers of a service.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub(crate) async fn containers(&self, service: &str) -> Result<Vec<String>> {
        let ids = self.compose(&["ps", "--all", "--quiet", service]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// The one container of a service.
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
                // What is being created meanwhile may vanish again under its first name, which fails the list.
                if let Some(one) = self.containers(service).await.unwrap_or_default().into_iter().next() {
                    return one;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, seen).await.with_context(|| format!("there is no container of {service}"))
    }

    /// Where the replicas of a service are published.
    ///
    /// # Errors
    /// If one is published nowhere, or elsewhere than on this machine alone.
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

    /// A client of the first replicas.
    ///
    /// # Errors
    /// If one is not published.
    pub(crate) async fn client(&self) -> Result<Client> {
        let mut first = Vec::new();
        for (service, port) in SERVICES {
            first.push(*self.addresses(service, port).await?.first().context("a replica")?);
        }
        Client::new(first.try_into().map_err(|_| anyhow::anyhow!("three services"))?)
    }

    /// The audit is clean, once all is at rest.
    ///
    /// # Errors
    /// What it says otherwise.
    pub(crate) async fn verified(&self) -> Result<String> {
        let report = self.compose(&["run", "--rm", "-T", "tools", "verify", "--wait", "120s"]).await?;
        ensure!(report.starts_with("clean"), "{report}");
        println!("    {}", report.lines().next().unwrap_or_default());
        Ok(report)
    }

    /// The development passwords open nothing; the ones that were made do.
    ///
    /// # Errors
    /// If it is not so.
    pub(crate) async fn passwords_are_its_own(&self) -> Result<()> {
        let settings = fs::read_to_string(ENV_FILE)?;
        let own = settings.lines().find_map(|line| line.strip_prefix("OPERATOR_PASSWORD=")).context("a password")?;
        let address = self.addresses("rabbitmq", 15672).await?[0];
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        for (password, expected) in [(own, StatusCode::OK), ("operator-dev", StatusCode::UNAUTHORIZED)] {
            let request = http.get(format!("http://{address}/api/overview")).basic_auth("operator", Some(password));
            let status = request.send().await?.status();
            ensure!(status == expected, "the management UI says {status} to the operator");
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

async fn compose(arguments: &[&str], ports: &[(&str, &str)], patience: Duration) -> Result<Done> {
    let mut command = Command::new("docker");
    // These would win over the files.
    for line in fs::read_to_string(".env.example")?.lines() {
        command.env_remove(line.split('=').next().unwrap_or_default().trim_start_matches("# "));
    }
    command.env("TAG", TAG).envs(ports.iter().copied());
    run(command_line(command, arguments), patience).await
}

fn command_line(mut command: Command, arguments: &[&str]) -> Command {
    command.args(["compose", "--project-name", PROJECT]).args(arguments);
    command
}

/// Waits until the container is healthy, and if it was started at `before`, has been started again.
///
/// # Errors
/// If it is not, even after a long time.
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

/// When the container was started, its state and its health.
///
/// # Errors
/// If there is no such container.
pub(crate) async fn state(container: &str) -> Result<String> {
    let format = "{{.State.StartedAt}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}";
    Ok(docker(&["inspect", "--format", format, container]).await?.trim().to_owned())
}

/// What is on the engine of this project.
///
/// # Errors
/// If it cannot be asked.
pub(crate) async fn left() -> Result<String> {
    let filter = format!("label=com.docker.compose.project={PROJECT}");
    let mut all = String::new();
    for list in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
        all += &docker(&[list, &["--quiet", "--filter", &filter]].concat()).await?;
    }
    Ok(all)
}

/// Removes everything of the project, and the images that were built for it.
///
/// # Errors
/// If something cannot be removed.
pub(crate) async fn remove() -> Result<()> {
    let arguments = ["--profile", "tools", "down", "--volumes", "--remove-orphans", "--timeout", "10"];
    succeeded(&arguments, compose(&arguments, &[], TIMEOUT).await?)?;
    for image in SERVICES.map(|(service, _)| service).into_iter().chain(["tools"]) {
        // It may not be there.
        let _ = try_docker(&["image", "rm", &format!("order-system/{image}:{TAG}")]).await?;
    }
    Ok(())
}

/// The last lines of all logs, after a failure.
pub(crate) async fn tell_logs() {
    if let Ok(done) = compose(&["logs", "--no-color", "--tail", "10"], &[], TIMEOUT).await {
        println!("{}", done.stdout);
    }
}
