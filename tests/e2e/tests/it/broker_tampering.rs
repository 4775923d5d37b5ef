//! Somebody operates on the broker behind the services' backs. Messages are lost in a queue that is purged or deleted,
//! and nowhere else; and no order is.

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

/// Healthy orders take a fraction of a second. The stock is held for longer than an order may take, as the settings say.
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

/// Works on for a while, and then everything must be in order.
async fn heals(mut stack: Stack, mut load: LoadGenerator, ends: Expect) -> Result<()> {
    load.answered(10).await?;
    stack.ready().await?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, ends).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_purged_queue_held_is_ended_by_its_deadline() -> Result<()> {
    let (mut stack, mut load) = stack("purge", Options::default()).await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        // With nobody to consume, all that is under way lies in its queue.
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
async fn a_queue_that_is_deleted_is_made_again() -> Result<()> {
    let (stack, mut load) = stack("queues", Options::default()).await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        load.answered(20).await?;
        administrator.delete_queue(service.name()).await?;
    }
    heals(stack, load, Expect::AsRequestedOrDeadline).await
}

/// No message is in an exchange, and none is taken for published that did not come to every queue: so not even the
/// deadline ends an order.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_deleted_is_made_again_and_costs_no_order() -> Result<()> {
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

/// Where the services may declare nothing, an administrator imports the definitions again.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_deleted_and_imported_again_costs_no_order() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rabbitmq/definitions.json");
    let broker = rabbitmq::Options {
        management: true,
        definitions: Some(file.clone()),
        credentials: Some(Credentials { user: "operator".to_owned(), password: "operator-dev".to_owned() }),
        ..rabbitmq::Options::default()
    };
    let amqp = Some(("{service}:{service}-dev".to_owned(), "orders".to_owned()));
    let (stack, mut load) = stack("imported", Options { broker, amqp, ..Options::default() }).await?;
    // The operator of the definitions only looks on. This one may do everything.
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
