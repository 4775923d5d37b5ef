//! TLS on every connection, with the certificates that `cargo xtask credentials` makes for `docker-compose.tls.yml`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use service_http::{ClientTls, HttpClient};
use shared_events::Service;
use test_servers::{postgres, rabbitmq, rabbitmq::Certificate};
use testkit::{
    programs::Programs,
    replica::bare_command,
    stack::{Options, Stack, TIMEOUT},
};
use tokio::{task::block_in_place, time::timeout};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const PAUSE: Duration = Duration::from_millis(50);

/// Runs `cargo xtask credentials`, and returns the directory with the certificates.
fn certificates(folder: &Path) -> Result<PathBuf> {
    let certificates = folder.join("certificates");
    let mut xtask = Command::new(Programs::of_this_build()?.path("xtask")?);
    xtask.env("CARGO_MANIFEST_DIR", Path::new(WORKSPACE).canonicalize()?.join("tools/xtask"));
    xtask.arg("credentials").arg("--certificates").arg(&certificates);
    xtask.arg("--env-file").arg(folder.join("env")).arg("--definitions").arg(folder.join("definitions.json"));
    let output = xtask.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(certificates)
}

fn certificate(certificates: &Path, server: &str) -> Result<Certificate> {
    let read = |name: &str| fs::read_to_string(certificates.join(server).join(name));
    Ok(Certificate { chain: read("cert.pem")?, key: read("key.pem")? })
}

/// Starts the servers with their certificates, and prepares the services as the compose file does.
async fn servers(certificates: &Path) -> Result<Stack> {
    let hba = fs::read_to_string(Path::new(WORKSPACE).join("deploy/postgres/pg_hba.tls.conf"))?;
    let database = postgres::Options {
        tls: Some(certificate(certificates, "order-db")?),
        hba: Some(hba),
        ..postgres::Options::default()
    };
    let broker = rabbitmq::Options {
        management: true,
        tls: Some(certificate(certificates, "rabbitmq")?),
        ..rabbitmq::Options::default()
    };
    let mut stack = Stack::servers("tls", Options { database, broker, ..Options::default() }).await?;
    let ca = certificates.join("ca.pem").display().to_string();
    let amqp = stack.rabbitmq.amqps_url("127.0.0.1").context("it has TLS")?;
    for replica in &mut stack.replicas {
        let service = replica.service.name();
        let file = |name: &str| certificates.join(service).join(name).display().to_string();
        let database = format!("{}?sslmode=verify-full&sslrootcert={ca}", stack.postgres.url(service));
        let variables = [
            ("DATABASE_URL", database),
            ("AMQP_URL", amqp.clone()),
            ("AMQP_CA_FILE", ca.clone()),
            ("TLS_CERT", file("cert.pem")),
            ("TLS_KEY", file("key.pem")),
        ];
        replica.settings.variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    }
    Ok(stack)
}

/// Sends a request until the status is the expected one, and returns the body.
async fn until(http: &HttpClient, method: Method, url: &str, body: &Value, status: u16) -> Result<Value> {
    let answered = async {
        loop {
            let request = http.request(method.clone(), url).json(body).timeout(TIMEOUT);
            match request.send().await {
                Ok(response) if response.status() == status => return response.json::<Value>().await,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    Ok(timeout(TIMEOUT, answered).await.with_context(|| format!("{url} does not answer {status}"))??)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_is_encrypted_and_every_server_verified() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = certificates(folder.path())?;
    let mut stack = servers(&certificates).await?;
    let http = HttpClient::new(Some(ClientTls::trusting(Some(&certificates.join("ca.pem")))?), TIMEOUT);
    stack.start_all()?;
    let mut urls = Vec::new();
    for service in Service::ALL {
        let replica = stack.replica(service, 0)?;
        let url = format!("https://localhost:{}", replica.address.port());
        until(&http, Method::GET, &format!("{url}/health/ready"), &Value::Null, 200).await?;
        // As the container's health check does.
        let mut health = bare_command(&Programs::of_this_build()?.path(service.name())?);
        health.envs(replica.settings.variables.clone()).args(["health", "--ready", "--listen"]);
        let health = health.arg(replica.address.to_string()).output()?;
        ensure!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
        urls.push(url);
    }
    let stock = json!({"item_sku": "SKU-ABC", "quantity": 10});
    until(&http, Method::POST, &format!("{}/api/v1/stock/items", urls[1]), &stock, 201).await?;
    let order = json!({"item_sku": "SKU-ABC", "quantity": 1, "amount": 10, "currency": "USD"});
    let order = until(&http, Method::POST, &format!("{}/api/v1/orders", urls[0]), &order, 200).await?;
    ensure!(order["status"] == "CONFIRMED", "{order}");

    let sessions = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_activity \
                    JOIN pg_stat_ssl USING (pid) WHERE datname IN ('order', 'inventory', 'payment')";
    let sessions = block_in_place(|| stack.postgres.psql("postgres", sessions))?;
    let (encrypted, plain) = sessions.trim().split_once('|').context("two numbers")?;
    ensure!(
        encrypted.parse::<u32>()? >= 3 && plain == "0",
        "PostgreSQL has {encrypted} sessions with TLS, {plain} without"
    );
    // A connection is listed before its properties are known.
    let listed = async {
        loop {
            let connections = stack.administrator()?.list("connections").await?;
            if connections.len() >= 9 && connections.iter().all(|connection| connection["ssl"].is_boolean()) {
                return anyhow::Ok(connections);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let connections = timeout(TIMEOUT, listed).await.context("nine connections are not to be seen")??;
    ensure!(connections.iter().all(|connection| connection["ssl"] == true), "{connections:?}");
    stack.passed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tls_or_of_another_authority_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = certificates(folder.path())?;
    let mut stack = servers(&certificates).await?;
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign)?;
    let foreign = self::certificates(&foreign)?.join("ca.pem");
    let ours = certificates.join("ca.pem").display().to_string();
    let cases = [
        (Service::Order, ours.clone(), foreign.display().to_string(), "invalid peer certificate"),
        (
            Service::Payment,
            format!("sslmode=verify-full&sslrootcert={ours}"),
            "sslmode=disable".to_owned(),
            "pg_hba.conf",
        ),
    ];
    for (service, from, to, words) in cases {
        let replica = stack.replica(service, 0)?;
        for (name, value) in &mut replica.settings.variables {
            if name == "DATABASE_URL" {
                *value = value.replace(&from, &to);
            }
        }
        replica.start()?;
        let said = async {
            while !stack.replica(service, 0)?.log().contains(words) {
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        timeout(TIMEOUT, said).await.with_context(|| format!("{service} does not say {words}"))??;
    }
    stack.passed();
    Ok(())
}
