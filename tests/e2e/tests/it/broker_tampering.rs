//! Somebody changes the broker while the services run. Only messages in a queue that is purged or deleted are lost, and
//! no order is lost.

use std::path::Path;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use shared_events::Service;
use test_servers::rabbitmq::{self, Credentials};
use testkit::{
    broker::Administrator,
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

/// Without faults, orders take a fraction of a second. The hold time of the stock is longer than an order may take.
const DEADLINE: &[&str] =
    &["--order-wait=1s", "--order-deadline=8s", "--cancel-repeat=2s", "--cancel-repeat-longest=4s"];
const HOLD_TIME: &[&str] = &["--hold-time=12s"];

async fn stack(name: &str, options: Options) -> Result<(Stack, LoadGenerator)> {
    let options = options.with(Service::Order, DEADLINE).with(Service::Inventory, HOLD_TIME);
    let mut stack = Stack::start(name, options).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    Ok((stack, load))
}

/// Keeps the load running for a while, and then checks that everything is consistent.
async fn heals(mut stack: Stack, mut load: LoadGenerator, ends: Expect) -> Result<()> {
    load.answered(10).await?;
    stack.ready().await?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, ends).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_whose_messages_were_purged_end_by_their_deadline() -> Result<()> {
    let (mut stack, mut load) = stack("purge", Options::default()).await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        // Without a consumer, all messages for the service are in its queue.
        stack.replica(service, 0)?.kill()?;
        if service != Service::Order {
            load.answered(20).await?;
        }
        administrator.purge(service.name()).await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    heals(stack, load, Expect::AsRequestedOrDeadline).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_declared_again() -> Result<()> {
    let (stack, mut load) = stack("queues", Options::default()).await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        load.answered(20).await?;
        administrator.delete_queue(service.name()).await?;
    }
    heals(stack, load, Expect::AsRequestedOrDeadline).await
}

/// An exchange holds no messages, and a message that did not reach every queue does not count as published. So no order
/// ends by its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_exchange_is_declared_again_and_costs_no_order() -> Result<()> {
    let (stack, mut load) = stack("exchanges", Options::default()).await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        load.answered(20).await?;
        for exchange in ["deliveries", "events"] {
            administrator.delete_exchange(&format!("{service}.{exchange}")).await?;
        }
    }
    heals(stack, load, Expect::AsRequested).await
}

/// If the services may not declare anything, an administrator imports the definitions again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_exchange_that_is_imported_again_costs_no_order() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rabbitmq/definitions.json");
    let broker = rabbitmq::Options {
        management: true,
        definitions: Some(file.clone()),
        credentials: Some(Credentials { user: "operator".to_owned(), password: "operator-dev".to_owned() }),
        ..rabbitmq::Options::default()
    };
    let amqp = Some(("{service}:{service}-dev".to_owned(), "orders".to_owned()));
    let (stack, mut load) = stack("imported", Options { broker, amqp, ..Options::default() }).await?;
    // The operator in the definitions has read-only access. This user has all permissions.
    for arguments in [
        &["add_user", "root", "root-dev"][..],
        &["set_user_tags", "root", "administrator"],
        &["set_permissions", "-p", "orders", "root", ".*", ".*", ".*"],
    ] {
        block_in_place(|| stack.rabbitmq.rabbitmqctl(arguments))?;
    }
    let url = stack.rabbitmq.management_url().context("the broker has no management")?;
    let administrator = Administrator::new(url.replace("operator:operator-dev", "root:root-dev"), "orders")?;
    let definitions: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    for service in Service::ALL {
        load.answered(20).await?;
        for exchange in ["deliveries", "events"] {
            administrator.delete_exchange(&format!("{service}.{exchange}")).await?;
        }
        load.answered(5).await?;
        administrator.request(Method::POST, "definitions").json(&definitions).send().await?.error_for_status()?;
    }
    heals(stack, load, Expect::AsRequested).await
}
