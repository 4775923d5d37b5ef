//! Replicas on machines with different clocks: they go by the clock of the database.

use std::{net::SocketAddr, time::Duration};

use reqwest::Method;
use sea_orm::EntityTrait as _;
use service_host::service::stop;
use testkit::service::{DatabaseKind::Postgres, HttpClient, TIMEOUT, answer, until, within_timeout};

use crate::harness::{Harness, Plan, example};

const OFFSETS: [&str; 2] = ["+10min", "-10min"];

async fn place_at(address: SocketAddr) -> i64 {
    let posting = HttpClient::new(address).request(Method::POST, "/api/v1/orders/").json(&example());
    let answer = answer(posting.header("prefer", "respond-async")).await;
    answer.body["order_id"].as_i64().unwrap()
}

/// How often a replica has ticked.
async fn ticks(address: SocketAddr) -> u64 {
    let metrics = HttpClient::new(address).get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("order_system_inputs_total") && line.contains("\"own\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_replica_with_a_wrong_clock_cancels_no_order_of_the_others_and_stamps_none_wrongly() {
    for offset in OFFSETS {
        let mut plan = Plan::default();
        plan.order.order_deadline = Duration::from_secs(120);
        let mut harness = Harness::start_with(Postgres, plan).await;
        let (second, address) = harness.replica_with_clock(offset).await;
        let (id, _) = harness.place().await;
        let theirs = place_at(address).await;
        for replica in [address, harness.service.http.address()] {
            let before = ticks(replica).await;
            within_timeout("it looks at the deadlines", async { while ticks(replica).await < before + 5 {} }).await;
        }
        for id in [id, theirs] {
            assert_eq!(harness.status(id).await.0, "PENDING", "{offset}");
        }
        // They were placed one right after the other, and their deadlines are as far apart.
        let database = harness.service.another_writer().await;
        let row = async |id: i64| order::store::orders::Entity::find_by_id(id).one(&database.reader()).await;
        let (ours, theirs) = (row(id).await.unwrap().unwrap(), row(theirs).await.unwrap().unwrap());
        assert_eq!(theirs.wake_at, Some(theirs.placed_at + 120_000_000), "{offset}");
        let between = theirs.placed_at - ours.placed_at;
        assert!((-1_000_000..60_000_000).contains(&between), "{offset}: {between} µs");
        let metrics = HttpClient::new(address).get("/metrics").await.text;
        let reported = metrics.lines().find(|line| line.starts_with("order_system_clock_offset_seconds")).unwrap();
        let seconds: f64 = reported.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((seconds.abs() - 600.0).abs() < 5.0 && (seconds > 0.0) == offset.starts_with('+'), "{reported}");
        database.close().await;
        stop(vec![second], TIMEOUT).await;
        harness.remaining_events().await;
        harness.finish().await;
    }
}

#[tokio::test]
async fn an_order_that_was_placed_by_a_wrong_clock_is_cancelled_at_its_deadline_and_not_before() {
    for offset in OFFSETS {
        let mut plan = Plan::default();
        plan.order.order_deadline = Duration::from_secs(2);
        let mut harness = Harness::start_with(Postgres, plan).await;
        let (second, address) = harness.replica_with_clock(offset).await;
        let id = place_at(address).await;
        until("it is cancelled", async || harness.status(id).await.0 == "COMPENSATING").await;
        let database = harness.service.another_writer().await;
        let row = order::store::orders::Entity::find_by_id(id).one(&database.reader()).await.unwrap().unwrap();
        assert!(row.changed_at - row.placed_at >= 2_000_000, "{offset}: {row:?}");
        let now = database.clock().now().unix_micros();
        // By the database's clock it was placed two seconds ago and not ten minutes.
        assert!((2_000_000..60_000_000).contains(&(now - row.placed_at)), "{offset}: {row:?}");
        database.close().await;
        stop(vec![second], TIMEOUT).await;
        harness.remaining_events().await;
        harness.finish().await;
    }
}
