//! Somebody operates on the broker behind the services' backs. Messages are lost in it, and no order is.

use anyhow::{Context as _, Result};
use e2e::{
    customers::Customers,
    settled::Ends,
    stack::{Options, Stack},
};
use shared_events::Service;
use tokio::task::block_in_place;

use crate::rights::provisioned;

/// Healthy orders take a fraction of a second. The stock is held for longer than an order may take, as the settings say.
const DEADLINE: &[&str] =
    &["--order-wait=1s", "--order-deadline=8s", "--cancel-repeat=2s", "--cancel-repeat-longest=4s"];
const HOLD_TIME: &[&str] = &["--hold-time=12s"];

async fn stack(name: &str) -> Result<(Stack, Customers)> {
    let options = Options::default().with(Service::Order, DEADLINE).with(Service::Inventory, HOLD_TIME);
    let mut stack = Stack::start(name, options).await?;
    let mut customers = Customers::come(&mut stack, 8).await?;
    customers.ended(50).await?;
    Ok((stack, customers))
}

/// Works on for a while, and then everything must be in order.
async fn heals(mut stack: Stack, mut customers: Customers, ends: Ends) -> Result<()> {
    customers.answered(10).await?;
    stack.ready().await?;
    customers.ended(50).await?;
    let answered = customers.go_home().await?;
    stack.settled(&answered, ends).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_purged_queue_held_is_ended_by_its_deadline() -> Result<()> {
    let (mut stack, mut customers) = stack("purge").await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        // With nobody to consume, all that is under way lies in its queue.
        stack.replica(service, 0)?.kill()?;
        if service != Service::Order {
            customers.answered(20).await?;
        }
        administrator.purge(service.name()).await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    heals(stack, customers, Ends::OrByDeadline).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_made_again() -> Result<()> {
    let (stack, mut customers) = stack("queues").await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        customers.answered(20).await?;
        administrator.delete_queue(service.name()).await?;
    }
    heals(stack, customers, Ends::OrByDeadline).await
}

/// An exchange holds nothing, and what is published without a binding stays in the outbox: no order may fail.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_deleted_is_made_again_and_loses_nothing() -> Result<()> {
    let mut stack = Stack::start("exchanges", Options::default().with(Service::Order, &["--order-wait=1s"])).await?;
    let mut customers = Customers::come(&mut stack, 8).await?;
    customers.ended(50).await?;
    let administrator = stack.administrator()?;
    for _ in 0..2 {
        for service in Service::ALL {
            administrator.delete_exchange(&format!("{service}.events")).await?;
            customers.answered(20).await?;
            customers.ended(50).await?;
        }
    }
    heals(stack, customers, Ends::AsWished).await
}

/// The consumers may not bind: an administrator puts it right, as `rabbitmq/README.md` says.
#[tokio::test(flavor = "multi_thread")]
async fn a_provisioned_exchange_that_is_deleted_is_imported_again_and_nothing_is_lost() -> Result<()> {
    let options = provisioned()?.with(Service::Order, &["--order-wait=1s"]);
    let definitions = options.broker.definitions.clone().context("it is provisioned")?;
    let mut stack = Stack::start("provisioned-exchanges", options).await?;
    let mut customers = Customers::come(&mut stack, 8).await?;
    customers.ended(50).await?;
    for service in Service::ALL {
        let exchange = format!("{service}.events");
        let deleted = format!("rabbit_exchange:delete({}, false, <<\"test\">>).", resource(&exchange));
        block_in_place(|| stack.rabbitmq.rabbitmqctl(&["eval", &deleted]))?;
        let number = Service::ALL.iter().position(|one| *one == service).context("one of three")?;
        stack.readiness(number, "without its exchange", |status, _| status == 503).await?;
        customers.answered(20).await?;
        block_in_place(|| stack.rabbitmq.rabbitmqctl(&["import_definitions", &definitions.to_string_lossy()]))?;
        customers.ended(50).await?;
    }
    heals(stack, customers, Ends::AsWished).await
}

fn resource(exchange: &str) -> String {
    format!("rabbit_misc:r(<<\"orders\">>, exchange, <<\"{exchange}\">>)")
}
