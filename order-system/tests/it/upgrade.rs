//! A data directory of an earlier version comes up and goes on.

use reqwest::Method;
use serde_json::Value;
use testkit::client::{Client, ok};

use crate::{command_line::execute, program};

/// Waits until all confirmed orders are captured.
async fn until_captured(client: &Client) {
    let all = |orders: &Vec<Value>| {
        let mut confirmed = orders.iter().filter(|order| order["status"] == "CONFIRMED");
        orders.len() == 4 && confirmed.all(|order| order["capture"] == "CAPTURED")
    };
    client.until("captures", || client.orders(), all).await.unwrap();
}

#[test]
fn orders_that_were_confirmed_before_there_were_captures_are_captured() {
    let (program, directory) = (program(), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let system = program.start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    runtime.block_on(async {
        client.put_in_stock("SKU-ABC", 10).await.unwrap();
        for amount in [10, 20, 5_000, 30] {
            client.place("SKU-ABC", 1, amount, None).await.unwrap();
        }
        until_captured(&client).await;
    });
    assert!(system.stop().unwrap().success());

    // As that version would have left it.
    let file = |service: &str| directory.path().join(format!("{service}.sqlite"));
    execute(&file("payment"), "UPDATE payments SET state = 'AUTHORIZED' WHERE state = 'CAPTURED'");
    execute(
        &file("order"),
        "DROP INDEX orders_to_capture; DROP INDEX orders_capture_failed; DROP INDEX refunds_failed;
         ALTER TABLE orders DROP COLUMN capture;
         DELETE FROM order_events WHERE event = 'PaymentCaptured';
         DELETE FROM seaql_migrations WHERE version IN ('m0008_captures', 'm0010_unsettled')",
    );

    let system = program.start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    let payments = runtime.block_on(async {
        until_captured(&client).await;
        ok(client.payment(Method::GET, "/api/v1/payments")).await.unwrap()
    });
    assert!(system.stop().unwrap().success());
    let states: Vec<&Value> = payments.as_array().unwrap().iter().map(|payment| &payment["status"]).collect();
    assert_eq!(states, ["CAPTURED", "CAPTURED", "DECLINED", "CAPTURED"]);
    let audit = program.verify(directory.path(), "0s").unwrap();
    let report = String::from_utf8(audit.stdout).unwrap();
    assert!(audit.status.success() && report.starts_with("clean: 4 orders (0 under way)"), "{report}");
}
