//! A server that is down for a while, under load.

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use sea_orm::sqlx::{Connection as _, Executor as _, PgConnection};
use serde_json::Value;
use shared_events::Service;
use testkit::{
    consistency::Expect,
    load_generator::{Answered, LoadGenerator, OrderKind, PLENTY},
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

use crate::missing;

/// While the broker is unavailable, every response to a POST takes as long as the service waits for the order's end.
const SHORT_WAIT: &str = "--order-wait=1s";

#[tokio::test(flavor = "multi_thread")]
async fn without_its_broker_the_system_takes_orders_and_ends_them_when_it_is_back() -> Result<()> {
    let mut stack = Stack::start("broker", Options::default().with(Service::Order, &[SHORT_WAIT])).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.answered(50).await?;
    stack.queues_on_disk()?;
    block_in_place(|| stack.rabbitmq.kill())?;
    for number in 0..3 {
        let why = |status, body: &Value| status == 503 && missing(body) == ["broker", "queue"];
        stack.readiness(number, "without its broker", why).await?;
    }
    // These orders are durable, but cannot end now.
    load.answered(30).await?;
    let key = "by-hand".to_owned();
    let (status, order) = stack.client(0)?.place(PLENTY, 1, 200, Some(&key)).await?;
    ensure!(status == StatusCode::ACCEPTED && order["status"] == "PENDING", "{status}: {order}");
    let order_id = order["order_id"].as_i64().context("a number")?;
    let by_hand = Answered { key, kind: OrderKind::Ordinary, order_id, status: "PENDING".to_owned(), cancelled: None };
    block_in_place(|| stack.rabbitmq.restart())?;
    stack.ready().await?;
    load.ended(50).await?;
    let answered = [load.stop().await?, vec![by_hand]].concat();
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_system_refuses_orders_and_recovers_by_itself() -> Result<()> {
    let mut stack = Stack::start("database", Options::default()).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    for outage in 0..2 {
        load.answered(50).await?;
        block_in_place(|| stack.postgres.crash())?;
        let why = |status, body: &Value| status == 503 && missing(body).contains(&"database");
        stack.readiness(0, "without its database", why).await?;
        let client = stack.client(0)?;
        let (status, body) = client.place(PLENTY, 1, 200, Some(&format!("refused-{outage}"))).await?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {body}");
        block_in_place(|| stack.postgres.restart())?;
        stack.ready().await?;
        load.ended(50).await?;
    }
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_under_load_makes_no_message_a_dead_letter() -> Result<()> {
    let mut stack = Stack::start("password", Options::default().with(Service::Order, &[SHORT_WAIT])).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    // Existing sessions stay open, so this one can change the password back.
    let mut session = PgConnection::connect(&stack.postgres.maintenance_url()).await?;
    let url = stack.postgres.maintenance_url();
    let (_, password) = url.split_once('@').and_then(|(user, _)| user.rsplit_once(':')).context("it has a password")?;
    let set = async |session: &mut PgConnection, password: &str| {
        let sql = format!("ALTER ROLE postgres PASSWORD '{password}'");
        session.execute(sea_orm::sqlx::AssertSqlSafe(sql)).await
    };
    set(&mut session, "another").await?;
    let all_others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                      WHERE pid <> pg_backend_pid() AND datname IN ('order', 'inventory', 'payment')";
    session.execute(all_others).await?;
    for number in 0..3 {
        let why = |status, body: &Value| status == 503 && missing(body).contains(&"database");
        stack.readiness(number, "without its password", why).await?;
        stack.says(number, "password authentication failed").await?;
    }
    set(&mut session, password).await?;
    stack.ready().await?;
    load.ended(50).await?;
    for service in Service::ALL {
        let letters = block_in_place(|| stack.postgres.psql(service.name(), "SELECT reason FROM dead_letters"))?;
        ensure!(letters.trim().is_empty(), "{service} has dead letters: {letters}");
    }
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}
