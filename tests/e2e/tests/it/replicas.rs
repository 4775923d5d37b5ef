//! Two replicas of every service behave like one.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_events::Service;
use testkit::{
    client::{Client, answer, ok},
    stack::{Options, Stack, TIMEOUT},
};
use tokio::{sync::mpsc, time::timeout};

const ORDERS: usize = 60;
const IN_STOCK: usize = 20;
const SAME: usize = 40;

/// How long the order service waits for an order to end: far longer than an order takes, even on a slow machine. A
/// client that is not notified of the end waits that long.
const WAIT: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_every_service_are_one_service() -> Result<()> {
    let wait = format!("--order-wait={}s", WAIT.as_secs());
    let options = Options { replicas: 2, ..Options::default() }.with(Service::Order, &[&wait]);
    let mut stack = Stack::start("two", options).await?;
    let clients = [stack.client(0)?, stack.client(1)?];
    clients[0].put_in_stock("HOT", i64::try_from(IN_STOCK)?).await?;
    clients[1].put_in_stock("PLENTY", 1_000).await?;

    // Many orders compete for the last units: late ones fail, and no client misses an end that happens at the other
    // replica.
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

    // The same request, sent many times to both replicas, creates one order.
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

const WATCHED: usize = 400;
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_of_two_replicas_goes_back() -> Result<()> {
    let mut stack = Stack::servers("streams", Options { replicas: 2, ..Options::default() }).await?;
    // One of the two has a wrong clock, which must have no effect.
    stack.replica(Service::Order, 1)?.settings.arguments.push("--clock-offset=+10min".to_owned());
    stack.start_all()?;
    stack.ready().await?;
    stack.says(1, "the clock of this machine differs from the database's").await?;
    let clients = [stack.client(0)?, stack.client(1)?];
    clients[0].put_in_stock("PLENTY", 1_000_000).await?;
    let mut streams = [watch(clients[0].addresses[0]).await?, watch(clients[1].addresses[0]).await?];
    // The first changes may happen before the two replicas are connected.
    for (placing, watching) in [(0, 1), (1, 0)] {
        let known = async {
            loop {
                let (_, order) = clients[placing].place("PLENTY", 1, 20, None).await?;
                let number = number(&order)?;
                while let Ok(Some(event)) = timeout(Duration::from_millis(200), streams[watching].recv()).await {
                    if event?["order_id"] == number {
                        return anyhow::Ok(());
                    }
                }
            }
        };
        timeout(TIMEOUT, known).await.context("a change is seen at the other replica")??;
    }

    let orders = (0..WATCHED).map(|number| {
        let (here, there) = (&clients[number % 2], &clients[(number + 1) % 2]);
        async move { placed(here, there).await }
    });
    let mut numbers: Vec<i64> = stream::iter(orders).buffer_unordered(AT_ONCE).try_collect().await?;
    // When these orders are shown, each stream has shown all earlier ones, from both replicas.
    numbers.push(placed(&clients[0], &clients[1]).await?);
    numbers.push(placed(&clients[1], &clients[0]).await?);
    for events in &mut streams {
        let mut last: HashMap<i64, (i64, String)> = HashMap::new();
        while !numbers.iter().all(|number| last.get(number).is_some_and(|(_, status)| status == "CONFIRMED")) {
            let event = timeout(TIMEOUT, events.recv()).await.context("an order's end is not shown")?;
            let event = event.context("the stream has ended")??;
            let shown = (event["version"].as_i64().context("a version")?, text(&event["status"]));
            if let Some(before) = last.insert(number(&event)?, shown.clone()) {
                ensure!(before.0 < shown.0, "{event} was shown after {before:?}");
            }
        }
    }
    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    Ok(())
}

/// Places an order at one replica, and checks that the other one shows nothing older than the response.
async fn placed(here: &Client, there: &Client) -> Result<i64> {
    let body = json!({"item_sku": "PLENTY", "quantity": 1, "amount": 20, "currency": "USD"});
    let (status, mut answered) = answer(here.order(Method::POST, "/api/v1/orders/").json(&body)).await?;
    ensure!(status == StatusCode::OK && answered["status"] == "CONFIRMED", "{status}: {answered}");
    let number = number(&answered)?;
    let mut read = ok(there.order(Method::GET, &format!("/api/v1/orders/{number}"))).await?;
    let said = format!("{answered} was answered, and then {read}");
    ensure!(read["version"].as_i64() >= answered["version"].as_i64(), "{said}");
    // Its payment may be captured by now, and nothing else may have changed.
    for order in [&mut read, &mut answered] {
        (order["capture"], order["version"]) = (Value::Null, Value::Null);
    }
    ensure!(read == answered, "{said}");
    Ok(number)
}

/// Returns the events of a stream as they arrive.
async fn watch(address: SocketAddr) -> Result<mpsc::UnboundedReceiver<Result<Value>>> {
    let url = format!("http://{address}/api/v1/orders/stream");
    let mut response = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
    let (events, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let event = match event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    None => None,
                    Some(_) if event.contains("event: missed") => Some(Err(anyhow::anyhow!("too slow: {event}"))),
                    Some(data) => Some(serde_json::from_str(data).map_err(Into::into)),
                };
                if event.is_some_and(|event| events.send(event).is_err()) {
                    return;
                }
                text = rest.to_owned();
            }
        }
    });
    Ok(received)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
