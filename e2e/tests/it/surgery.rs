//! Somebody operates on the broker behind the services' backs. Messages are lost in it, and no order is.

use anyhow::Result;
use e2e::{
    customers::Customers,
    settled::Ends,
    stack::{Options, Stack},
};
use shared_events::Service;

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
async fn heals(mut stack: Stack, mut customers: Customers) -> Result<()> {
    customers.answered(10).await?;
    stack.ready().await?;
    customers.ended(50).await?;
    let answered = customers.go_home().await?;
    stack.settled(&answered, Ends::OrByDeadline).await
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
    heals(stack, customers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_made_again() -> Result<()> {
    let (stack, mut customers) = stack("queues").await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        customers.answered(20).await?;
        administrator.delete_queue(service.name()).await?;
    }
    heals(stack, customers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_deleted_is_made_again() -> Result<()> {
    let (stack, mut customers) = stack("exchanges").await?;
    let administrator = stack.administrator()?;
    for service in Service::ALL {
        customers.answered(20).await?;
        administrator.delete_exchange(&format!("{service}.events")).await?;
    }
    heals(stack, customers).await
}
