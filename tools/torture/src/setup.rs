//! Starts the system under test and its clients.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use shared_events::Service;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    end_state::DEADLINE_S,
    faults::Kind,
    history::History,
    load::{Addresses, Client},
    nemesis::{PASSWORD, ROLE, listen_to_everything, set_password},
    random::Random,
    run::Settings,
    schedule::Schedule,
    streams,
    topology::{NODES, Topology},
    wants::{HOT, MORE, PLENTY, SCARCE, SET},
};
use testkit::stack::{Options, Stack};

/// The services' admin token.
pub(super) const TOKEN: &str = "the-token-of-the-torture-run";

/// How long a node of the cluster waits for another one that is silent, in seconds. The default is 60, which would make
/// most of the run a wait.
const TICK_S: u8 = 10;

/// Starts servers and services, and puts stock into the inventory.
pub(super) async fn start(schedule: &Schedule, progress: &dyn Fn(String)) -> Result<Stack> {
    let deadline = format!("--order-deadline={DEADLINE_S}s");
    let order = ["--order-wait=1s", &deadline, "--cancel-repeat=2s", "--cancel-repeat-longest=5s"];
    let hold_time = format!("--hold-time={}s", DEADLINE_S + 20);
    let limited_disks = schedule.faults.iter().any(|fault| fault.kind == Kind::FillDisk);
    let mut options = Options { replicas: schedule.replicas, proxied: true, limited_disks, ..Options::default() };
    if schedule.topology == Topology::Cluster {
        options.standby = true;
        options.broker_nodes = u8::try_from(NODES)?;
        options.broker.config.push(format!("net_ticktime = {TICK_S}"));
    }
    options = options.with(Service::Order, &order).with(Service::Inventory, &[&hold_time]);
    for service in Service::ALL {
        options = options.with(service, &[&format!("--admin-token={TOKEN}")]);
    }
    progress("starting PostgreSQL, RabbitMQ and the services".to_owned());
    let mut stack = Stack::servers(&format!("torture-{}", schedule.seed), options).await?;
    let role = format!("CREATE ROLE {ROLE} LOGIN SUPERUSER");
    tokio::task::block_in_place(|| stack.postgres.psql("postgres", &role))?;
    set_password(&stack, PASSWORD)?;
    for replica in &mut stack.replicas {
        for (name, value) in &mut replica.settings.variables {
            if name == "DATABASE_URL" {
                let (_, server) = value.split_once('@').context("it is an address")?;
                *value = format!("postgres://{ROLE}:{PASSWORD}@{server}");
            }
        }
    }
    // In random order, and before anything is declared at the broker.
    let mut random = Random::new(schedule.seed);
    let mut waiting: Vec<usize> = (0..stack.replicas.len()).collect();
    while !waiting.is_empty() {
        let index = usize::try_from(random.next() % waiting.len() as u64)?;
        stack.replicas[waiting.remove(index)].start()?;
    }
    stack.ready().await?;
    listen_to_everything(&stack.administrator()?).await?;
    let client = stack.client(0)?;
    for (sku, quantity) in [(PLENTY, 10_000_000), (MORE, 10_000_000), (HOT, 500), (SCARCE, 3), (SET, 1)] {
        client.put_in_stock(sku, quantity).await?;
    }
    Ok(stack)
}

/// Starts the clients, which run until `stop` is cancelled.
pub(super) fn clients(
    settings: &Settings,
    schedule: &Schedule,
    stack: &Stack,
    history: &Arc<History>,
    stop: &CancellationToken,
) -> Result<JoinSet<()>> {
    let of = |service| stack.replicas.iter().filter(move |one| one.service == service).map(|one| one.address).collect();
    let addresses = Addresses { order: of(Service::Order), inventory: of(Service::Inventory) };
    let mut load = JoinSet::new();
    for (number, &address) in addresses.order.iter().enumerate() {
        load.spawn(streams::watch(number, address, Arc::clone(history), stop.clone()));
    }
    for number in 0..settings.clients {
        let client = Client::new(number, schedule.seed, addresses.clone(), Arc::clone(history))?;
        load.spawn(client.run(stop.clone()));
    }
    Ok(load)
}
