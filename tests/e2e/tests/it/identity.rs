//! A service with the wrong database: it handles nothing, undoes nothing, and reports what is wrong.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use shared_events::Service;
use testkit::{
    client::answer,
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack, TIMEOUT},
};
use tokio::{
    task::block_in_place,
    time::{Instant, interval},
};

use crate::missing;

/// Interval at which a state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A system id that was created in 2024.
const OLD_SYSTEM: &str = "018d0000-0000-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_service_on_an_empty_database_undoes_nothing() -> Result<()> {
    let mut stack = Stack::start("empty-order-database", Options::default()).await?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(8).await?;
    stack.replica(Service::Payment, 0)?.stop().await?;
    load.answered(12).await?;
    let answered = load.stop().await?;
    ensure!(answered.iter().any(|one| !one.has_ended()), "no order is under way");

    // Payment's events wait for order, which restarts with an empty database.
    stack.replica(Service::Order, 0)?.stop().await?;
    stack.start_payment().await?;
    let before = stack.until_paid().await?;
    let empty = block_in_place(|| stack.postgres.create_database("empty"))?;
    let wrong = stack.another(Service::Order, "empty", |variables| {
        variables.retain(|(name, _)| name != "DATABASE_URL");
        variables.push(("DATABASE_URL".to_owned(), empty));
    })?;
    stack.replicas[wrong].start()?;
    stack.readiness(wrong, "refusing", |status, body| status == 503 && missing(body) == ["system"]).await?;
    stack.says(wrong, "a message of another system").await?;
    stack.says(wrong, "--system-id").await?;
    stack.queue_is_taken("order").await?;

    // Clients are refused, and nothing was handled, dead-lettered, published or undone.
    let body = serde_json::json!({"item_sku": "PLENTY", "quantity": 1, "amount": 20, "currency": "USD"});
    let mut client = stack.client(0)?;
    client.addresses[0] = stack.replicas[wrong].address;
    let (status, problem) = answer(client.order(Method::POST, "/api/v1/orders").json(&body)).await?;
    ensure!(status == 503 && problem["detail"].as_str().is_some_and(|detail| detail.contains("system")), "{problem}");
    for table in ["inbox", "outbox", "dead_letters", "orders"] {
        ensure!(stack.count("empty", table)? == 0, "there is something in {table}");
    }
    ensure!(stack.states()? == before, "something was undone: {before:?} has become {:?}", stack.states()?);

    // With the right database, everything ends normally.
    ensure!(stack.replicas[wrong].stop().await?.code() == Some(0));
    stack.replicas.remove(wrong);
    stack.start_all()?;
    stack.ready().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_service_on_a_new_database_needs_to_be_told_the_system() -> Result<()> {
    let mut stack = Stack::servers("new-payment-database", Options::default()).await?;
    for replica in &mut stack.replicas {
        replica.settings.variables.push(("SYSTEM_ID".to_owned(), OLD_SYSTEM.to_owned()));
    }
    stack.start_all()?;
    stack.ready().await?;
    let client = stack.client(0)?;
    client.put_in_stock("SKU-ABC", 10).await?;
    let (_, first) = client.place("SKU-ABC", 1, 20, None).await?;
    ensure!(first["status"] == "CONFIRMED", "{first}");
    stack.verified().await?;

    // Its database is lost and replaced by an empty one.
    stack.replica(Service::Payment, 0)?.stop().await?;
    let new = block_in_place(|| stack.postgres.create_database("new"))?;
    let payment = stack.another(Service::Payment, "new", |variables| {
        variables.retain(|(name, _)| name != "DATABASE_URL" && name != "SYSTEM_ID");
        variables.push(("DATABASE_URL".to_owned(), new));
    })?;
    stack.replicas[payment].start()?;
    let body = serde_json::json!({"item_sku": "SKU-ABC", "quantity": 1, "amount": 20, "currency": "USD"});
    let request = client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
    let (_, second) = answer(request).await?;
    stack.readiness(payment, "refusing", |status, body| status == 503 && missing(body) == ["system"]).await?;
    stack.says(payment, "this database is new").await?;
    ensure!(stack.count("new", "payments")? == 0 && stack.count("new", "inbox")? == 0);

    ensure!(stack.replicas[payment].stop().await?.code() == Some(0));
    stack.replicas[payment].settings.variables.push(("SYSTEM_ID".to_owned(), OLD_SYSTEM.to_owned()));
    stack.replicas[payment].start()?;
    stack.readiness(payment, "ready", |status, _| status == 200).await?;
    let path = format!("/api/v1/orders/{}", second["order_id"]);
    let order = || async { Ok(answer(client.order(Method::GET, &path)).await?.1) };
    client.until("confirmed", order, |order: &Value| order["status"] == "CONFIRMED").await?;

    // A database with data does not change its system.
    ensure!(stack.replicas[payment].stop().await?.code() == Some(0));
    let other = "018d0000-0000-7000-8000-000000000002".to_owned();
    stack.replicas[payment].settings.variables.push(("SYSTEM_ID".to_owned(), other));
    stack.replicas[payment].start()?;
    stack.says(payment, "belongs to the system 018d0000-0000-7000-8000-000000000001").await?;
    stack.passed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_on_new_databases_make_one_system() -> Result<()> {
    let mut stack = Stack::start("one-system", Options { replicas: 2, ..Options::default() }).await?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(10).await?;
    let answered = load.stop().await?;
    let mut ids = BTreeSet::new();
    for service in Service::ALL {
        let id = block_in_place(|| stack.postgres.psql(service.name(), "SELECT system_id FROM system_identity"))?;
        ids.insert(id.trim().to_owned());
    }
    ensure!(ids.len() == 1 && ids.iter().all(|id| id.len() == 36), "{ids:?}");
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

/// Helpers of these tests.
trait StackExt {
    async fn start_payment(&mut self) -> Result<()>;
    async fn until_paid(&self) -> Result<[String; 2]>;
    async fn queue_is_taken(&self, queue: &str) -> Result<()>;
    fn states(&self) -> Result<[String; 2]>;
    fn count(&self, database: &str, table: &str) -> Result<u64>;
}

impl StackExt for Stack {
    async fn start_payment(&mut self) -> Result<()> {
        self.replica(Service::Payment, 0)?.start()?;
        self.readiness(2, "ready", |status, _| status == 200).await.map(drop)
    }

    /// Waits until payment has authorized all held stock and captured what is sold, and its events are in the queues.
    /// Returns the states.
    async fn until_paid(&self) -> Result<[String; 2]> {
        let (deadline, mut ticks) = (Instant::now() + TIMEOUT, interval(POLL_INTERVAL));
        loop {
            ticks.tick().await;
            let held = self.sql("inventory", "SELECT saga_id FROM reservations WHERE state = 'HELD' ORDER BY 1")?;
            let paid = "SELECT saga_id FROM payments WHERE state = 'AUTHORIZED' ORDER BY 1";
            let paid = self.sql("payment", paid)?;
            let waiting = self.count("payment", "outbox")? + self.count("inventory", "outbox")?;
            if waiting == 0 && !held.is_empty() && held == paid {
                return self.states();
            }
            ensure!(Instant::now() < deadline, "held: {held}, paid: {paid}, {waiting} unpublished");
        }
    }

    /// Waits until a consumer has taken all messages of the queue.
    async fn queue_is_taken(&self, queue: &str) -> Result<()> {
        let administrator = self.administrator()?;
        let (deadline, mut ticks) = (Instant::now() + TIMEOUT, interval(POLL_INTERVAL));
        loop {
            ticks.tick().await;
            let queues = administrator.list("queues/{vhost}").await?;
            let this = queues.iter().find(|one| one["name"] == queue).context("the queue is there")?;
            if this["messages_ready"] == 0 && this["messages_unacknowledged"].as_u64() > Some(0) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not taken: {this}");
        }
    }

    /// Returns the states of all reservations and payments.
    fn states(&self) -> Result<[String; 2]> {
        let of = |database, table| self.sql(database, &format!("SELECT saga_id, state FROM {table} ORDER BY 1"));
        Ok([of("inventory", "reservations")?, of("payment", "payments")?])
    }

    fn count(&self, database: &str, table: &str) -> Result<u64> {
        Ok(self.sql(database, &format!("SELECT count(*) FROM {table}"))?.trim().parse()?)
    }
}

trait Sql {
    fn sql(&self, database: &str, sql: &str) -> Result<String>;
}

impl Sql for Stack {
    fn sql(&self, database: &str, sql: &str) -> Result<String> {
        block_in_place(|| self.postgres.psql(database, sql))
    }
}
