//! A network between one service and one server that fails under load.

use anyhow::Result;
use serde_json::Value;
use shared_events::Service;
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    proxy::Network,
    stack::{Options, Server, Stack},
};

use crate::missing;

async fn proxied(name: &str) -> Result<Stack> {
    let options = Options { proxied: true, ..Options::default() };
    Stack::start(name, options.with(Service::Order, &["--order-wait=1s"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_drops_connections_loses_nothing() -> Result<()> {
    let mut stack = proxied("drops").await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    for server in [Server::Broker, Server::Database] {
        for (number, service) in Service::ALL.into_iter().enumerate() {
            load.answered(20).await?;
            stack.network(service, server, Network::Drops)?;
            noticed(&mut stack, number, server).await?;
            if (service, server) != (Service::Order, Server::Database) {
                load.answered(20).await?;
            }
            stack.network(service, server, Network::Passes)?;
            stack.ready().await?;
        }
    }
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

/// The only sign that the other end is gone is its silence.
async fn a_stalled_network_loses_nothing(service: Service, server: Server) -> Result<()> {
    let mut stack = proxied(&format!("stalls-{service}-{server:?}")).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    let number = Service::ALL.into_iter().position(|one| one == service).unwrap_or_default();
    stack.network(service, server, Network::Stalls)?;
    noticed(&mut stack, number, server).await?;
    stack.network(service, server, Network::Passes)?;
    stack.ready().await?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_the_broker_stalls() -> Result<()> {
    a_stalled_network_loses_nothing(Service::Inventory, Server::Broker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_a_database_stalls() -> Result<()> {
    a_stalled_network_loses_nothing(Service::Payment, Server::Database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_to_the_order_database_stalls() -> Result<()> {
    a_stalled_network_loses_nothing(Service::Order, Server::Database).await
}

/// Waits until the service reports that the server is down.
async fn noticed(stack: &mut Stack, number: usize, server: Server) -> Result<()> {
    let names: &[&str] = if server == Server::Database { &["database"] } else { &["broker", "queue"] };
    let misses = |status: u16, body: &Value| {
        let missing = missing(body);
        status == 503 && names.iter().all(|name| missing.contains(name))
    };
    stack.readiness(number, &format!("without {server:?}"), misses).await.map(drop)
}
