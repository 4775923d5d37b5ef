//! HAProxy in front of two replicas of each service, with the configuration of `deploy/haproxy/`.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::{join_all, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_events::Service;
use testkit::{
    balancer::{Balancer, share_ports},
    client::{Client, answer, ok},
    replica::Replica,
    stack::{Options, Stack},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, block_in_place},
    time::timeout,
};

/// Ten times as long as HAProxy takes to notice, because the machine may be busy.
const SHUTDOWN_DELAY: &str = "--shutdown-delay=10s";
const WORKERS: usize = 6;
/// How long to wait for a state before that counts as a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn start(name: &str) -> Result<(Stack, Balancer)> {
    let mut options = Options { replicas: 2, ..Options::default() };
    for service in Service::ALL {
        options = options.with(service, &[SHUTDOWN_DELAY]);
    }
    let mut stack = Stack::servers(name, options).await?;
    share_ports(&mut stack.replicas);
    stack.start_all()?;
    stack.ready().await?;
    let balancer = Balancer::start(&stack.replicas).await?;
    let client = balancer.client()?;
    for request in [Client::order, Client::inventory, Client::payment] {
        let ready = async || anyhow::Ok(request(&client, Method::GET, "/health/ready").send().await?.status());
        client.until("the balancer knows a replica", ready, |status| *status == StatusCode::OK).await?;
    }
    client.put_in_stock("PLENTY", 1_000_000).await?;
    Ok((stack, balancer))
}

/// The replicas with one number, of all three services.
fn of_number(stack: &mut Stack, number: usize) -> Vec<&mut Replica> {
    stack.replicas.iter_mut().skip(number).step_by(2).collect()
}

/// Requests that go on until they are told to stop.
struct Load {
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// Each of the workers repeats `request`, which gets a number that no other one gets.
    fn start<F>(request: impl Fn(usize) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send,
    {
        let (stop, stopped) = watch::channel(false);
        let (answered, failed) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let next = Arc::<AtomicUsize>::default();
        let worker = |_| {
            let (request, stopped, next) = (request.clone(), stopped.clone(), Arc::clone(&next));
            let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    match request(next.fetch_add(1, Ordering::Relaxed)).await {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(format!("{error:#}")),
                    }
                }
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { stop, workers, answered, failed }
    }

    /// Waits until some more requests were answered.
    async fn goes_on(&self) -> Result<()> {
        let before = self.answered.load(Ordering::Relaxed);
        let more = async {
            while self.answered.load(Ordering::Relaxed) < before + 20 * WORKERS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TIMEOUT, more).await.with_context(|| format!("no answers; {:?}", self.failed.lock().unwrap()))
    }

    /// Ends it, and fails if one of the requests did.
    async fn end_without_failure(self, balancer: &Balancer) -> Result<()> {
        let _ = self.stop.send(true);
        join_all(self.workers).await;
        let (answered, failed) = (self.answered.load(Ordering::Relaxed), self.failed.lock().unwrap());
        println!("{answered} orders placed and read");
        ensure!(failed.is_empty(), "{} of {answered} failed: {failed:#?}\n{}", failed.len(), balancer.log());
        Ok(())
    }
}

/// Places an order without a key that HAProxy could see, and reads it, the stock, and the payments.
async fn order_and_read(client: Client, number: usize) -> Result<()> {
    let (status, order) = client.place("PLENTY", 1, 20, Some(&format!("key-{number}"))).await?;
    ensure!([StatusCode::OK, StatusCode::ACCEPTED].contains(&status), "an order: {status}: {order}");
    read(&client, &order).await
}

async fn read(client: &Client, order: &Value) -> Result<()> {
    let path = format!("/api/v1/orders/{}", order["order_id"]);
    ok(client.order(Method::GET, &path)).await.with_context(|| format!("reading {path}"))?;
    client.stock("PLENTY").await.context("reading stock")?;
    let payments = "/api/v1/payments?limit=1";
    ok(client.payment(Method::GET, payments)).await.map(drop).context("reading payments")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_are_replaced_under_load_and_no_request_fails() -> Result<()> {
    let (mut stack, balancer) = start("drain").await?;
    let client = balancer.client()?;
    let load = Load::start(move |number| order_and_read(client.clone(), number));
    for number in 0..2 {
        load.goes_on().await?;
        let stopped = try_join_all(of_number(&mut stack, number).into_iter().map(Replica::stop)).await?;
        ensure!(stopped.iter().all(std::process::ExitStatus::success), "{stopped:?}");
        load.goes_on().await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    load.goes_on().await?;
    load.end_without_failure(&balancer).await?;
    // Each was taken out because it said that it is about to stop, before it refused a connection.
    for service in Service::ALL {
        for number in 1..=2 {
            let down =
                format!("Server {service}-ready/{service}-{number} is DOWN, reason: Layer7 wrong status, code: 503");
            ensure!(balancer.log().contains(&down), "the log of HAProxy has no {down:?}:\n{}", balancer.log());
        }
    }
    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_killed_and_what_can_be_repeated_is() -> Result<()> {
    let (mut stack, balancer) = start("killed").await?;
    let client = balancer.client()?;
    // HAProxy sees that these have a key.
    let load = Load::start(move |number| {
        let client = client.clone();
        async move {
            let body = json!({"item_sku": "PLENTY", "quantity": 1, "amount": 20, "currency": "USD"});
            let order = client.order(Method::POST, "/api/v1/orders/").json(&body);
            let (status, order) = answer(order.header("idempotency-key", format!("key-{number}"))).await?;
            ensure!([StatusCode::OK, StatusCode::ACCEPTED].contains(&status), "an order: {status}: {order}");
            read(&client, &order).await
        }
    });
    for number in 0..2 {
        load.goes_on().await?;
        of_number(&mut stack, number).into_iter().try_for_each(Replica::kill)?;
        load.goes_on().await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    load.goes_on().await?;
    load.end_without_failure(&balancer).await?;
    stack.verified().await?;
    stack.passed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_no_replica_is_ready_and_orders_are_accepted() -> Result<()> {
    let (mut stack, balancer) = start("unready").await?;
    let client = balancer.client()?;
    block_in_place(|| stack.rabbitmq.stop())?;
    for number in 0..stack.replicas.len() {
        stack.readiness(number, "not ready", |status, _| status == 503).await?;
    }
    let accepted = async || client.place("PLENTY", 1, 20, Some("while the broker is down")).await;
    let (_, order) = client.until("accepted", accepted, |(status, _)| *status == StatusCode::ACCEPTED).await?;
    block_in_place(|| stack.rabbitmq.restart())?;
    let path = format!("/api/v1/orders/{}", order["order_id"]);
    let read = async || ok(client.order(Method::GET, &path)).await;
    client.until("the order ends", read, |order| order["status"] == "CONFIRMED").await?;
    let (status, problem) = answer(client.order(Method::GET, "/metrics")).await.context("a problem in JSON")?;
    ensure!(status == StatusCode::NOT_FOUND, "{status}: {problem}");
    stack.verified().await?;
    stack.passed();
    Ok(())
}

/// A client of the stream, as a browser is one: it reconnects, and reads the orders again if it has missed some.
struct Watcher {
    client: Client,
    http: reqwest::Client,
    last_id: Option<String>,
    connections: Arc<AtomicUsize>,
    /// The orders whose end it has seen.
    ended: Arc<Mutex<BTreeSet<i64>>>,
}

impl Watcher {
    async fn watch(mut self) {
        loop {
            self.connections.fetch_add(1, Ordering::Relaxed);
            // It is connected again after any error.
            let _ = self.connection().await;
        }
    }

    async fn connection(&mut self) -> Result<()> {
        let request = self.http.get(format!("http://{}/api/v1/orders/stream", self.client.addresses[0]));
        let request = match &self.last_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let mut response = request.send().await?.error_for_status()?;
        let mut text = String::new();
        while let Some(chunk) = response.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                self.take(event).await?;
                text = rest.to_owned();
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: &str) -> Result<()> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        match field("event") {
            Some("order") => self.see(&serde_json::from_str(field("data").context("data")?)?),
            Some("missed") => self.client.orders().await?.iter().for_each(|order| self.see(order)),
            _ => {}
        }
        if let Some(id) = field("id") {
            self.last_id = Some(id.to_owned());
        }
        Ok(())
    }

    fn see(&self, order: &Value) {
        if let (Some(number), true) = (order["order_id"].as_i64(), order["status"] == "CONFIRMED") {
            self.ended.lock().unwrap().insert(number);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_another_replica() -> Result<()> {
    let (mut stack, balancer) = start("stream").await?;
    let client = balancer.client()?;
    let (connections, ended) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<BTreeSet<i64>>>::default());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (counted, seen) = (Arc::clone(&connections), Arc::clone(&ended));
    let watcher = Watcher { client: client.clone(), http, last_id: None, connections: counted, ended: seen };
    let watching = tokio::spawn(watcher.watch());
    let place = async || {
        let (_, order) = client.place("PLENTY", 1, 20, None).await?;
        order["order_id"].as_i64().with_context(|| format!("no order: {order}"))
    };
    let seen = async |number: i64| {
        let seen = async || anyhow::Ok(ended.lock().unwrap().contains(&number));
        client.until("the stream shows the order", seen, |seen| *seen).await
    };
    // It is connected when it shows an order.
    let connected = async || {
        let number = place().await?;
        Ok(timeout(Duration::from_secs(1), seen(number)).await.is_ok())
    };
    client.until("the stream is connected", connected, |connected| *connected).await?;
    for number in 0..2 {
        {
            // While one of the two replicas stops; the stream is at one of them.
            let mut replicas = of_number(&mut stack, number);
            let mut stop = pin!(replicas[0].stop());
            loop {
                tokio::select! {
                    stopped = &mut stop => break ensure!(stopped?.success(), "it did not stop"),
                    placed = place() => drop(seen(placed?).await?),
                }
            }
        }
        seen(place().await?).await?;
        stack.start_all()?;
        stack.ready().await?;
    }
    watching.abort();
    let connections = connections.load(Ordering::Relaxed);
    ensure!((2..=3).contains(&connections), "the stream was connected {connections} times");
    stack.verified().await?;
    stack.passed();
    Ok(())
}
