//! Connections that are occupied and not used. Only Linux has 127.0.0.2 without being told.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use edge::attack::{Attack, Attackers};
use serde_json::Value;
use testkit::{
    client::Client,
    load::{Mix, Until, closed_loop},
    process::Running,
};

use crate::program;

const LIMIT: Duration = Duration::from_secs(60);
/// So low that the attackers want several times as many connections.
const OPEN_FILES: u32 = 512;
/// The attackers' address. The honest clients are at 127.0.0.1.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ATTACKERS: usize = 1_500;

/// Returns the sum of the samples whose line begins with this, at the order service.
async fn metric(system: &Running, name: &str) -> u64 {
    let text = reqwest::get(format!("http://{}/metrics", system.addresses[0])).await.unwrap().text().await.unwrap();
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64;
    text.lines().filter(|line| line.starts_with(name)).map(value).sum()
}

/// Places orders while `attack` goes on, and asserts that all are confirmed.
async fn serves_under(attack: Attack) {
    let directory = tempfile::tempdir().unwrap();
    let system = program(OPEN_FILES).start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.stock_up(Mix::Uniform(10)).await.unwrap();
    let addresses = [system.addresses[0], system.addresses[1], system.addresses[2], system.console.unwrap()];
    let attackers = Attackers::start(attack, OTHER, &addresses, ATTACKERS, Duration::from_secs(1));
    assert!(attackers.until_opened(ATTACKERS as u64, LIMIT).await, "only {} connections", attackers.opened());

    let outcome = closed_loop(system.addresses[0], 4, Mix::Uniform(10), Until::Orders(200)).await.unwrap();
    assert!(outcome.confirmed >= 200 && outcome.refused == 0, "{outcome:?}");
    for address in addresses {
        let answer = reqwest::get(format!("http://{address}/health")).await.unwrap();
        assert_eq!(answer.status(), 200, "{address}");
    }
    let stock: Value = client.stock("SKU-0").await.unwrap();
    assert_eq!(stock["item_sku"], "SKU-0");
    assert!(metric(&system, "order_system_http_connections{").await < ATTACKERS as u64 / 4);
    assert!(metric(&system, "order_system_http_connections_closed_total{service=\"order\",reason=\"room\"").await > 0);
    assert_eq!(metric(&system, "order_system_http_accept_errors_total").await, 0);
    drop(attackers);
    assert!(system.stop().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_heads_do_not_silence_the_services() {
    serves_under(Attack::HalfSentHeads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_silence_the_services() {
    serves_under(Attack::IdleConnections).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_files_for_a_setting_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let few = ["--max-connections=2000"];
    let error = program(OPEN_FILES).start(directory.path(), &few).unwrap_err().to_string();
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("--max-connections 2000 needs") && log.contains("ulimit -n"), "{error}: {log}");
}
