//! A primary and its standby, under load: failover, switchover, mistakes, and a standby that is away.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::Value;
use shared_events::Service;
use test_servers::Postgres;
use testkit::{
    consistency::Expect,
    load_generator::{LoadGenerator, PLENTY},
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

use crate::missing;

fn options() -> Options {
    Options { standby: true, ..Options::default() }
}

/// Returns how many orders, reservations and payments a server has.
fn rows(server: &Postgres) -> Result<[i64; 3]> {
    let count = |service: Service, table: &str| -> Result<i64> {
        let sql = format!("SELECT count(*) FROM {table}");
        Ok(block_in_place(|| server.psql(service.name(), &sql))?.trim().parse()?)
    };
    Ok([
        count(Service::Order, "orders")?,
        count(Service::Inventory, "reservations")?,
        count(Service::Payment, "payments")?,
    ])
}

async fn without_database(stack: &mut Stack) -> Result<()> {
    for number in 0..3 {
        let why = |status, body: &Value| status == 503 && missing(body).contains(&"database");
        stack.readiness(number, "without its database", why).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_by_its_standby_and_never_written_again() -> Result<()> {
    let mut stack = Stack::start("failover", options()).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    block_in_place(|| stack.postgres.kill())?;
    without_database(&mut stack).await?;
    stack.promote()?;
    load.ended(50).await?;

    // The old primary comes back as a twin that would accept writes.
    let twin = stack.standby.as_mut().context("the old primary")?;
    block_in_place(|| twin.restart().and_then(|()| twin.wait_for_standby(false)))?;
    let before = rows(twin)?;
    load.ended(50).await?;
    // Not even while it is the only one.
    block_in_place(|| stack.postgres.crash())?;
    without_database(&mut stack).await?;
    block_in_place(|| stack.postgres.restart())?;
    load.ended(50).await?;
    // A service that starts meanwhile finds the new one.
    let order = stack.replica(Service::Order, 0)?;
    order.kill()?;
    order.start()?;
    load.ended(50).await?;
    ensure!(rows(stack.standby.as_ref().context("the twin")?)? == before, "the twin was written");

    stack.rejoin()?;
    load.ended(50).await?;
    stack.ready().await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_and_a_promotion_by_mistake_lose_nothing() -> Result<()> {
    let mut stack = Stack::start("switchover", options()).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    for _ in 0..2 {
        load.ended(50).await?;
        block_in_place(|| stack.postgres.stop())?;
        stack.promote()?;
        load.ended(50).await?;
        stack.rejoin()?;
    }
    load.ended(50).await?;
    // The primary goes on running, with the services on it. What they commit there waits for the standby that it has
    // lost, so none of it is answered.
    stack.promote()?;
    load.ended(50).await?;
    let before = rows(stack.standby.as_ref().context("the old primary")?)?;
    load.ended(50).await?;
    ensure!(rows(stack.standby.as_ref().context("the old primary")?)? == before, "both are written");
    stack.ready().await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_synchronous_standby_is_away_nothing_is_answered_and_readiness_says_why() -> Result<()> {
    let mut stack = Stack::start("standby-away", options()).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    for _ in 0..2 {
        load.ended(50).await?;
        let standby = stack.standby.as_mut().context("the standby")?;
        block_in_place(|| standby.crash())?;
        let why = |status, body: &Value| status == 503 && body.to_string().contains("wait for a synchronous standby");
        stack.readiness(0, "waiting for the standby", why).await?;
        let (status, body) = stack.client(0)?.place(PLENTY, 1, 200, Some("refused")).await?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {body}");
        let standby = stack.standby.as_mut().context("the standby")?;
        block_in_place(|| standby.restart())?;
        stack.ready().await?;
    }
    load.ended(50).await?;
    for replica in &stack.replicas {
        ensure!(!replica.log().contains("does not answer"), "{replica} has given up a commit");
    }
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_asynchronous_standby_did_not_receive_is_lost_and_the_rest_ends() -> Result<()> {
    let options =
        options().with(Service::Order, &["--order-deadline=10s"]).with(Service::Inventory, &["--hold-time=15s"]);
    let mut stack = Stack::start("lost-tail", options).await?;
    block_in_place(|| stack.postgres.wait_for_standby(false))?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;
    block_in_place(|| stack.standby.as_ref().context("the standby")?.stop_receiving())?;
    let received: i64 = {
        let standby = stack.standby.as_ref().context("the standby")?;
        block_in_place(|| standby.psql("order", "SELECT max(order_id) FROM orders"))?.trim().parse()?
    };
    load.ended(50).await?;
    let answered = load.stop().await?;
    block_in_place(|| stack.postgres.kill())?;
    stack.promote()?;
    let keys = block_in_place(|| stack.postgres.psql("order", "SELECT idempotency_key, order_id FROM orders"))?;
    let keys: BTreeSet<&str> = keys.lines().collect();
    let is_there = |key: &str, id: i64| keys.contains(&*format!("{key}|{id}"));
    let lost: BTreeSet<i64> =
        answered.iter().filter(|one| !is_there(&one.key, one.order_id)).map(|one| one.order_id).collect();
    ensure!(lost.first().is_some_and(|first| *first > received), "lost: {lost:?}, received: {received}");
    println!("{} of {} answered orders are lost", lost.len(), answered.len());

    // The customers repeat the same requests, with the same keys, and go on.
    stack.ready().await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.answered(answered.len() + 50).await?;
    load.stop().await?;
    // The broker still had messages about what is lost. Those that make no sense any more name it, and are discarded.
    for service in Service::ALL {
        let sql = "WITH letters AS (DELETE FROM dead_letters RETURNING reason) SELECT reason FROM letters";
        for reason in block_in_place(|| stack.postgres.psql(service.name(), sql))?.lines() {
            ensure!(reason.contains("there is no reservation"), "{service}: {reason}");
        }
    }
    // Everything that was begun for lost orders is undone, and all others have ended.
    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    Ok(())
}
