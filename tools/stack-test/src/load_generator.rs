//! Clients that place one order after the other, retry until they get a response, and record the responses.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;
use testkit::client::{Client, answer};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{docker::TIMEOUT, stack::Stack};

const CLIENTS: usize = 12;
const STOCK: i64 = 1_000_000_000;
/// Timeout of a request: longer than the service waits for the end of an order.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Clients that place orders until they are stopped.
pub(crate) struct LoadGenerator {
    shared: Arc<Shared>,
    addresses: watch::Sender<Vec<SocketAddr>>,
    loops: JoinSet<Result<Vec<i64>>>,
    sku: String,
}

#[derive(Default)]
struct Shared {
    answered: AtomicUsize,
    stop: AtomicBool,
}

impl LoadGenerator {
    /// Puts the SKU in stock and starts the clients. `name` must be unique.
    ///
    /// # Errors
    /// If the stock cannot be set.
    pub(crate) async fn start(stack: &Stack, name: &str) -> Result<Self> {
        let sku = format!("SKU-{name}");
        stack.client().await?.put_in_stock(&sku, STOCK).await?;
        let (addresses, watched) = watch::channel(stack.addresses("order", 8001).await?);
        let shared = Arc::new(Shared::default());
        let mut loops = JoinSet::new();
        for number in 0..CLIENTS {
            loops.spawn(order_repeatedly(
                format!("{name}-{number}"),
                sku.clone(),
                watched.clone(),
                Arc::clone(&shared),
            ));
        }
        Ok(Self { shared, addresses, loops, sku })
    }

    /// Updates the addresses of the order service.
    pub(crate) fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        self.addresses.send_replace(addresses);
    }

    /// Waits until this number of further orders were answered.
    ///
    /// # Errors
    /// If that takes too long.
    pub(crate) async fn answered(&self, more: usize) -> Result<()> {
        let target = self.shared.answered.load(Ordering::Relaxed) + more;
        let mut steps = tokio::time::interval(Duration::from_millis(50));
        let waited = async {
            while self.shared.answered.load(Ordering::Relaxed) < target {
                steps.tick().await;
            }
        };
        timeout(TIMEOUT, waited).await.with_context(|| format!("not {more} answers within {TIMEOUT:?}"))
    }

    /// Stops the clients after their last response, and checks all responses: each order exists exactly once and has
    /// ended, and what was sold is gone from the stock.
    ///
    /// # Errors
    /// If a check fails.
    pub(crate) async fn stop_and_check(mut self, stack: &Stack) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut order_ids = Vec::new();
        let all = async {
            while let Some(one) = self.loops.join_next().await {
                order_ids.extend(one??);
            }
            anyhow::Ok(())
        };
        timeout(TIMEOUT, all).await.context("a client still waits for a response")??;
        stack.verified().await?;
        self.check_orders(&stack.client().await?, &order_ids).await
    }

    async fn check_orders(&self, client: &Client, order_ids: &[i64]) -> Result<()> {
        let orders = client.orders().await?;
        let mine: Vec<_> = orders.iter().filter(|order| order["item_sku"] == *self.sku).collect();
        let numbers: HashSet<i64> = mine.iter().filter_map(|order| order["order_id"].as_i64()).collect();
        for number in order_ids {
            ensure!(numbers.contains(number), "order {number} was answered and is lost");
        }
        ensure!(mine.len() == order_ids.len(), "{} orders for {} answers", mine.len(), order_ids.len());
        let count = |status: &str| mine.iter().filter(|order| order["status"] == status).count();
        let (confirmed, failed) = (count("CONFIRMED"), count("FAILED"));
        ensure!(confirmed + failed == mine.len(), "{confirmed} of {} are confirmed, {failed} have failed", mine.len());
        let stock = client.stock(&self.sku).await?;
        let left = STOCK - i64::try_from(confirmed)?;
        ensure!(stock["quantity"] == left && stock["reserved"] == 0, "{confirmed} are sold, and the stock is {stock}");
        println!("    {} orders answered, all of them there: {confirmed} confirmed, {failed} failed", order_ids.len());
        Ok(())
    }
}

async fn order_repeatedly(
    name: String,
    sku: String,
    addresses: watch::Receiver<Vec<SocketAddr>>,
    shared: Arc<Shared>,
) -> Result<Vec<i64>> {
    let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build()?;
    let mut order_ids = Vec::new();
    let mut tries = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        // Every fifth order is declined by the payment gateway.
        let amount = if order_ids.len() % 5 == 4 { 1_000 } else { 200 };
        let key = format!("{name}-{}", order_ids.len());
        let body = json!({"item_sku": sku, "quantity": 1, "amount": amount, "currency": "USD", "idempotency_key": key});
        let order = loop {
            tries += 1;
            let address = {
                let addresses = addresses.borrow();
                addresses[tries % addresses.len()]
            };
            match answer(http.post(format!("http://{address}/api/v1/orders/")).json(&body)).await {
                Ok((StatusCode::OK | StatusCode::ACCEPTED, order)) => break order,
                // It is not known whether the order was placed; a retry with the same key is safe.
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) => tokio::time::sleep(PAUSE).await,
                Ok((status, body)) => anyhow::bail!("{key}: {status} {body}"),
            }
        };
        order_ids.push(order["order_id"].as_i64().with_context(|| format!("{key}: {order}"))?);
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(order_ids)
}
