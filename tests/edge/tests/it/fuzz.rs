//! Fuzzed requests, always the same ones. `cargo run --release -p edge -- fuzz` sends more, and others.

use edge::fuzz::{Plan, Stores, Summary, System, run};
use shared_events::Service;
use testkit::{
    client::Client,
    process::Program,
    programs::Programs,
    stack::{Options, Stack},
};

const TOKEN: &str = "token-of-the-fuzzed-system";

fn plan(seed: u64, requests: u64) -> Plan {
    Plan { seed, first: 0, requests, batch: requests, connections: 32 }
}

/// Statuses that some thousands of requests get.
const COMMON: [u16; 8] = [200, 201, 400, 401, 404, 405, 415, 422];
/// Statuses that only more requests are sure to get: which ones there are depends on all routes.
const RARE: [u16; 5] = [202, 409, 413, 421, 431];

fn assert_clean(summary: &Summary, statuses: &[u16]) {
    assert!(summary.violations.is_empty(), "{}", summary.violations.join("\n"));
    // Otherwise the requests no longer reach what they are for.
    for status in statuses {
        assert!(summary.statuses.contains_key(status), "no {status}: {summary:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzzed_requests_are_answered_and_refused_ones_write_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let program = Programs::of_this_build().unwrap().path("order-system").unwrap();
    let program = Program::at(&program.to_string_lossy());
    let running = program.start(directory.path(), &[&format!("--admin-token={TOKEN}")]).unwrap();
    let mut system = System {
        client: Client::new(running.addresses).unwrap(),
        stores: Stores::of_directory(directory.path()).await.unwrap(),
        admin_token: TOKEN.to_owned(),
        api_keys: Vec::new(),
    };
    let all = [&COMMON[..], &RARE].concat();
    assert_clean(&run(&system, plan(1, 20_000), |_| {}).await.unwrap(), &all);
    system.close(&program, directory.path()).await.unwrap();
    assert_clean(&run(&system, plan(3, 10_000), |_| {}).await.unwrap(), &[&COMMON[..], &[403]].concat());
    assert!(running.stop().unwrap().success());
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let audit = program.verify(directory.path(), "60s").unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzzed_requests_are_answered_on_postgresql() {
    let token = format!("--admin-token={TOKEN}");
    let options = Service::ALL.iter().fold(Options::default(), |options, one| options.with(*one, &[&token]));
    let mut stack = Stack::start("fuzz", options).await.unwrap();
    let urls = Service::ALL.iter().map(|one| (one.name().to_owned(), stack.database_url(*one))).collect();
    let system = System {
        client: stack.client(0).unwrap(),
        stores: Stores::at(urls).await.unwrap(),
        admin_token: TOKEN.to_owned(),
        api_keys: Vec::new(),
    };
    assert_clean(&run(&system, plan(2, 5_000), |_| {}).await.unwrap(), &COMMON);
    stack.verified().await.unwrap();
    stack.no_errors().unwrap();
}
