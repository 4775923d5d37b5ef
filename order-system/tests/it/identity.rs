//! A data directory whose order database was lost or replaced by another.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    client::{Client, answer},
    process::Program,
};

use crate::program;

/// A gateway so slow that the order's saga never ends during the test.
const NEVER: &str = "--gateway-latency=1h";

fn rename(data_dir: &Path, from: &str, to: &str) {
    for end in ["", "-wal", "-shm"] {
        let file = |name: &str| data_dir.join(format!("{name}{end}"));
        if file(from).exists() {
            std::fs::rename(file(from), file(to)).unwrap();
        }
    }
}

/// Places an order that waits for its payment, and returns its number.
async fn place_unfinished(client: &Client) -> i64 {
    let body = json!({"item_sku": "SKU-ABC", "quantity": 1, "amount": 10, "currency": "USD"});
    let request = client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
    let id = answer(request).await.unwrap().1["order_id"].as_i64().unwrap();
    let stock = || client.stock("SKU-ABC");
    client.until("its stock is held", stock, |stock| stock["reserved"] == 1).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_order_database_beside_the_others_is_refused_and_undoes_nothing() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let order = crash_with_an_unfinished_order(&program, &data_dir).await;

    rename(&data_dir, "order.sqlite", "aside.sqlite");
    let refused = refused_to_start(program.command().arg("--data-dir").arg(&data_dir));
    assert!(refused.contains("the database of order is new") && refused.contains("--system-id"), "{refused}");

    // With its own database, the order ends normally.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data_dir.join(format!("order.sqlite{end}")));
    }
    rename(&data_dir, "aside.sqlite", "order.sqlite");
    let system = program.start(&data_dir, &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    let path = format!("/api/v1/orders/{order}");
    let read = || async { Ok(answer(client.order(Method::GET, &path)).await?.1) };
    client.until("it is confirmed", read, |order: &Value| order["status"] == "CONFIRMED").await.unwrap();
    assert!(system.stop().unwrap().success());
    let audit = program.verify(&data_dir, "60s").unwrap();
    assert!(audit.status.success(), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_order_database_is_replaced_by_an_explicit_act_and_then_nothing_stays_held() {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    crash_with_an_unfinished_order(&program, &data_dir).await;
    let audit = program.verify(&data_dir, "0s").unwrap();
    let audit = String::from_utf8(audit.stdout).unwrap();
    let id = audit.lines().find_map(|line| line.strip_prefix("system id: ")).unwrap().to_owned();

    rename(&data_dir, "order.sqlite", "lost.sqlite");
    let system = program.start(&data_dir, &[&format!("--system-id={id}"), "--hold-time=1s", "--tick=100ms"]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    let stock = || client.stock("SKU-ABC");
    client.until("its stock is back", stock, |stock| stock["quantity"] == 10).await.unwrap();
    assert!(system.stop().unwrap().success());
    let audit = program.verify(&data_dir, "60s").unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    let other = format!("--system-id={}", id.replace(&id[..8], "018d0000"));
    let refused = refused_to_start(program.command().arg("--data-dir").arg(&data_dir).arg(other));
    assert!(refused.contains(&format!("belongs to the system {id} and has data")), "{refused}");
}

/// Starts the system on a new directory, puts 10 units in stock, places an order, and crashes the system. Returns the
/// order's number.
async fn crash_with_an_unfinished_order(program: &Program, data_dir: &Path) -> i64 {
    let system = program.start(data_dir, &[NEVER]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let order = place_unfinished(&client).await;
    system.crash().unwrap();
    order
}

/// Starts the program, expects it to fail, and returns its output.
fn refused_to_start(command: &mut std::process::Command) -> String {
    command.args(["--order-listen=127.0.0.1:0", "--inventory-listen=127.0.0.1:0", "--payment-listen=127.0.0.1:0"]);
    command.arg("--console-listen=127.0.0.1:0");
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it starts");
    String::from_utf8(output.stderr).unwrap()
}
