//! Checks that no container has more privileges or network access than it needs.

use anyhow::{Context as _, Result, ensure};

use crate::{
    docker::{docker, try_docker},
    headline,
    stack::{CONSOLE_PORT, CONTAINERS, SERVICES, Stack, TAG},
};

pub(crate) const IMAGE: &str = "debian:trixie-20260202-slim";

/// Inspects every service's container from the inside.
///
/// # Errors
/// If a container can do something that it should not, or cannot do something that it should.
pub(crate) async fn check(stack: &Stack) -> Result<()> {
    headline("what the containers can do and reach");
    for (service, _) in SERVICES {
        let container = stack.container(service).await?;
        powerless(service, &container).await?;
        bare(service).await?;
        for other in CONTAINERS {
            reaches(stack, service, &container, other).await?;
        }
    }
    published(stack).await
}

/// Checks that the container's process is not root and cannot become root, and that it cannot write files.
async fn powerless(service: &str, container: &str) -> Result<()> {
    let status =
        docker(&["run", "--rm", "--pid", &format!("container:{container}"), IMAGE, "cat", "/proc/1/status"]).await?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, expected) in [
        ("Name:", service),
        ("Uid:", "10001 10001 10001 10001"),
        ("Gid:", "10001 10001 10001 10001"),
        ("CapEff:", "0000000000000000"),
        ("CapBnd:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
    ] {
        ensure!(field(name) == expected, "{service}: {name} {}", field(name));
    }
    for path in ["/file", "/tmp/file", "/usr/local/bin/file"] {
        let touch = try_docker(&["exec", "--user", "0", container, "touch", path]).await?;
        ensure!(!touch.success && touch.stderr.contains("Read-only file system"), "{service} can write {path}");
    }
    println!("    {service}: not root, no capability, a read-only file system");
    Ok(())
}

/// Checks that an image contains only its program and its labels, and starts the program directly and not through a
/// script.
async fn bare(service: &str) -> Result<()> {
    let image = format!("order-system/{service}:{TAG}");
    let format = "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.User}} \
                  {{index .Config.Labels \"org.opencontainers.image.version\"}} \
                  {{index .Config.Labels \"org.opencontainers.image.licenses\"}}";
    let config = docker(&["image", "inspect", "--format", format, &image]).await?;
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(r#"["{service}"] null 10001:10001 {version} MIT OR Apache-2.0"#);
    ensure!(config.trim() == expected, "{image}: {config}");
    let inside = "ls /usr/local/bin; head -c 4 /usr/local/bin/*";
    let files = docker(&["run", "--rm", "--network", "none", "--entrypoint", "sh", &image, "-c", inside]).await?;
    ensure!(files == format!("{service}\n\u{7f}ELF"), "{image}: {files:?}");
    Ok(())
}

/// Checks that a service reaches only its own database, the broker and the console, by name or by address.
async fn reaches(stack: &Stack, service: &str, container: &str, other: &str) -> Result<()> {
    let port = match other {
        "rabbitmq" => 5672,
        "console" => CONSOLE_PORT,
        _ => SERVICES.iter().find(|(name, _)| *name == other).map_or(5432, |(_, port)| *port),
    };
    // The console is in the network of each service, and asks for the token.
    let may = ["rabbitmq", "console", service].contains(&other) || other == format!("{service}-db");
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let addresses = docker(&["inspect", "--format", format, &stack.container(other).await?]).await?;
    let mut hosts: Vec<&str> = addresses.split_whitespace().collect();
    hosts.push(other);
    let connect = |host: &str| format!("timeout 2 bash -c '</dev/tcp/{host}/{port}' 2>/dev/null && echo -n '{host} '");
    let script = hosts.iter().map(|host| connect(host)).collect::<Vec<_>>().join("; ");
    let network = format!("container:{container}");
    let reached =
        docker(&["run", "--rm", "--network", &network, IMAGE, "bash", "-c", &format!("{script}; true")]).await?;
    let by_name = reached.split_whitespace().any(|host| host == other);
    ensure!(by_name == may, "{service} reaches {other}: {by_name}, by name");
    ensure!(may || reached.is_empty(), "{service} reaches {other} at {reached}");
    if !may {
        println!("    {service} does not reach {other}, by name or at {}", addresses.trim());
    }
    Ok(())
}

/// Checks that the ports for users are published, on this machine only, and that no others are.
async fn published(stack: &Stack) -> Result<()> {
    for service in CONTAINERS {
        let ports = docker(&["port", &stack.container(service).await?]).await?;
        let expected = SERVICES
            .into_iter()
            .chain([("console", CONSOLE_PORT), ("rabbitmq", 15672)])
            .find(|(name, _)| *name == service);
        let Some((_, port)) = expected else {
            ensure!(ports.is_empty(), "{service} publishes {ports}");
            continue;
        };
        let published = ports.trim().strip_prefix(&format!("{port}/tcp -> 127.0.0.1:")).context("elsewhere");
        published.and_then(|port| Ok(port.parse::<u16>()?)).with_context(|| format!("{service} publishes {ports}"))?;
    }
    Ok(())
}
