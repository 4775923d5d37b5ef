//! Two replicas of every service are one service.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::stack::{Options, Stack};
use futures::future::try_join_all;
use reqwest::StatusCode;
use serde_json::Value;
use shared_events::Service;

const ORDERS: usize = 60;
const IN_STOCK: usize = 20;
const SAME: usize = 40;

/// Far above the time that an order takes, and above the test's patience for the machine: whoever was not told of the end
/// would wait until then.
const WAIT: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_every_service_are_one_service() -> Result<()> {
    let wait = format!("--order-wait={}s", WAIT.as_secs());
    let options = Options { replicas: 2, ..Options::default() }.with(Service::Order, &[&wait]);
    let mut stack = Stack::start("two", options).await?;
    let clients = [stack.client(0)?, stack.client(1)?];
    clients[0].put_in_stock("HOT", i64::try_from(IN_STOCK)?).await?;
    clients[1].put_in_stock("PLENTY", 1_000).await?;

    // Many want the last pieces: whoever comes late gets nothing, and nobody waits in vain for an end at the other replica.
    let started = Instant::now();
    let orders = (0..ORDERS).map(|number| {
        let client = &clients[number % 2];
        async move { client.place("HOT", 1, 20, Some(&format!("hot-{number}"))).await }
    });
    let answers = try_join_all(orders).await?;
    ensure!(started.elapsed() < WAIT, "the answers came when the wait was over: {:?}", started.elapsed());
    ensure!(answers.iter().all(|(status, _)| *status == StatusCode::OK), "{answers:?}");
    let confirmed = answers.iter().filter(|(_, order)| order["status"] == "CONFIRMED").count();
    let failed = answers.iter().filter(|(_, order)| order["failure_reason"] == "INSUFFICIENT_STOCK").count();
    ensure!((confirmed, failed) == (IN_STOCK, ORDERS - IN_STOCK), "{confirmed} confirmed, {failed} failed");

    // One request, sent many times to both, is one order.
    let started = Instant::now();
    let same = (0..SAME).map(|number| clients[number % 2].place("PLENTY", 1, 20, Some("the same")));
    let answers = try_join_all(same).await?;
    ensure!(started.elapsed() < WAIT, "the answers came when the wait was over: {:?}", started.elapsed());
    let numbers: Result<Vec<i64>> = answers.iter().map(|(_, order)| number(order)).collect();
    let mut numbers = numbers?;
    numbers.dedup();
    ensure!(numbers.len() == 1, "{numbers:?}");
    ensure!(answers.iter().all(|(_, order)| order["status"] == "CONFIRMED"), "{answers:?}");
    ensure!(clients[0].orders().await?.len() == ORDERS + 1);
    ensure!(clients[0].stock("PLENTY").await?["quantity"] == 999);

    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    Ok(())
}

fn number(order: &Value) -> Result<i64> {
    order["order_id"].as_i64().with_context(|| format!("no order: {order}"))
}
