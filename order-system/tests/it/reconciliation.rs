//! `verify` compares the payments with what a payment gateway has of them.

use std::{path::Path, process::Output};

use reqwest::Method;
use serde_json::{Value, json};
use shared_events::Service;
use tempfile::TempDir;
use testkit::{
    client::{Client, ok},
    stripe::{API_KEY, FakeStripe},
};

use crate::{command_line::execute_at, program};

/// The data of a system, and the account that it pays by.
struct Case {
    stripe: FakeStripe,
    /// The address of the databases, with `{service}`.
    database: String,
    directory: TempDir,
}

impl Case {
    async fn start(database: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), API_KEY).unwrap();
        Self { stripe: FakeStripe::start().await, database: database(directory.path()), directory }
    }

    /// The settings of a gateway at this account.
    fn gateway(&self, stripe: &FakeStripe) -> Vec<String> {
        let key = self.directory.path().join("key");
        let key = format!("--stripe-api-key-file={}", key.display());
        vec!["--payment-gateway=stripe".to_owned(), key, format!("--stripe-url={}", stripe.url)]
    }

    /// Runs the audit with these settings besides those of the databases. Returns the exit code and the report.
    async fn verify(&self, flags: &[String]) -> (Option<i32>, String) {
        let mut command = program().command();
        command.args(["verify", "--database-url", &self.database]).args(flags);
        // Not in the way of the fake, which runs on this thread.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let Output { status, stdout, stderr } = output.unwrap();
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    /// Changes the row of a payment.
    async fn change_row(&self, change: &str, payment: i64) {
        let database = self.database.replace("{service}", Service::Payment.name());
        execute_at(&database, &format!("UPDATE payments SET {change} WHERE payment_id = {payment}")).await;
    }
}

/// Authorizes a payment without an order. Returns its number and its reference.
async fn authorize(client: &Client) -> (i64, String) {
    let body = json!({"order_id": 99, "amount": 20, "currency": "USD"});
    let payment = ok(client.payment(Method::POST, "/api/v1/payments/authorize").json(&body)).await.unwrap();
    assert_eq!(payment["status"], "AUTHORIZED");
    (payment["payment_id"].as_i64().unwrap(), payment["reference"].as_str().unwrap().to_owned())
}

/// Places an order of 20 dollars, and waits for its capture. Returns the number and the reference of its payment.
async fn place(client: &Client) -> (i64, String) {
    let (_, order) = client.place("SKU-ABC", 1, 20, None).await.unwrap();
    assert_eq!(order["status"], "CONFIRMED");
    let path = format!("/api/v1/payments/?order_id={}", order["order_id"]);
    let read = async || ok(client.payment(Method::GET, &path)).await;
    let is_captured = |page: &Value| page[0]["status"] == "CAPTURED";
    let page = client.until("captured", read, is_captured).await.unwrap();
    (page[0]["payment_id"].as_i64().unwrap(), page[0]["reference"].as_str().unwrap().to_owned())
}

async fn refund(client: &Client, order: i64) {
    let path = format!("/api/v1/orders/{order}/refunds");
    let body = json!({"amount": 5, "restock": false});
    let request = client.order(Method::POST, &path).json(&body);
    let (status, refund) = testkit::client::answer(request).await.unwrap();
    assert_eq!(status, 202, "{refund}");
    let read = async || ok(client.order(Method::GET, &path)).await;
    let has_ended = |refunds: &Value| refunds[0]["status"] == "SUCCEEDED";
    client.until("refunded", read, has_ended).await.unwrap();
}

async fn differences_are_named(case: Case) {
    let here = case.gateway(&case.stripe);
    let mut flags = here.clone();
    flags.extend([
        "--stripe-default-payment-method=pm_card_visa".to_owned(),
        format!("--database-url={}", case.database),
    ]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let system = program().start(case.directory.path(), &flags).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let (refunded_there, by_hand) = place(&client).await;
    let (refunded_here, _) = place(&client).await;
    refund(&client, 2).await;
    let (taken, _) = place(&client).await;
    let (unknown, _) = place(&client).await;
    let (_, declined) = client.place("SKU-ABC", 1, 1_000, None).await.unwrap();
    assert_eq!(declined["status"], "FAILED");
    let (held, _) = authorize(&client).await;
    let (_, given_up) = authorize(&client).await;
    let (part, part_reference) = authorize(&client).await;
    let (under_way, _) = authorize(&client).await;
    let waited = [here.clone(), vec!["--wait=30s".to_owned()]].concat();
    let (code, clean) = case.verify(&waited[..]).await;
    assert!(clean.contains("\npayment gateway: 9 payments compared\n") && code == Some(0), "{clean}");
    assert!(clean.starts_with("clean: 5 orders"), "{clean}");
    let stopped = tokio::task::spawn_blocking(|| system.stop()).await.unwrap();
    assert!(stopped.unwrap().success());

    case.stripe.change_by_hand("refunds", &[("payment_intent", &by_hand), ("amount", "700")]);
    case.stripe.change_by_hand(&format!("payment_intents/{given_up}/cancel"), &[]);
    case.stripe.change_by_hand(&format!("payment_intents/{part_reference}/capture"), &[("amount_to_capture", "600")]);
    case.change_row("state = 'VOIDED'", taken).await;
    case.change_row("reference = 'pi_none'", unknown).await;
    case.change_row("state = 'VOIDED'", held).await;
    case.change_row("state = 'VOIDING'", under_way).await;
    case.change_row(
        "refunds = replace(refunds, '\"REFUNDED\"', '{\"FAILED\":{\"reason\":\"DECLINED\"}}')",
        refunded_here,
    )
    .await;
    let (code, report) = case.verify(&here).await;
    let unaccounted = |payment: i64, text: &str| format!("unaccounted money: payment {payment} ({text}");
    for line in [
        unaccounted(refunded_there, "pi_1) of order 1: the gateway has given back 7 USD by a refund that the row"),
        unaccounted(refunded_here, "pi_2) of order 2: the row has the refund "),
        unaccounted(taken, "pi_3) of order 3: the row is VOIDED, and the gateway has taken 20 USD"),
        unaccounted(held, "pi_6) of order 99: the row is VOIDED, and the gateway holds 20 USD"),
        unaccounted(part, "pi_8) of order 99: the row is AUTHORIZED, and the gateway has taken 6 USD"),
        format!("\npayment {unknown} (pi_none) of order 4: the row is CAPTURED, and the gateway does not know"),
        format!("\npayment {part} (pi_8) of order 99: the row has the amount 20 USD, and the gateway 6 USD"),
        "\npayment gateway: 9 payments compared\n".to_owned(),
    ] {
        assert!(report.contains(&line), "{line} is missing in\n{report}");
    }
    assert_eq!(code, Some(1), "{report}");
    let lines: Vec<_> = report.lines().collect();
    let money = |line: &&str| line.starts_with("unaccounted money: ");
    assert!(lines[..5].iter().all(money) && !lines[5..].iter().any(money), "{report}");

    let recent = [here.clone(), vec!["--gateway-since=1ms".to_owned()]].concat();
    let (code, report) = case.verify(&recent).await;
    assert!(report.contains("payment gateway: 0 payments compared, only those of the last 1ms"), "{report}");
    assert!(code == Some(1) && !report.contains("unaccounted money"), "the databases do not agree: {report}");
    let another = case.gateway(&FakeStripe::start().await);
    let case = Case { stripe: FakeStripe::start().await, ..case };
    let (code, report) = case.verify(&case.gateway(&case.stripe)).await;
    let wrong = "9 payments compared, NOT ALL: the gateway knows none of 9 payments: is it the account, and the mode";
    assert!(code == Some(1) && report.contains(wrong), "{report}");
    let (code, report) = case.verify(&another).await;
    let away = "0 payments compared, NOT ALL: the gateway does not answer: no answer of Stripe";
    assert!(code == Some(1) && report.contains(away), "{report}");
}

#[tokio::test]
async fn what_differs_from_the_gateway_is_named() {
    differences_are_named(Case::start(|directory| format!("sqlite:{}/{{service}}.sqlite", directory.display())).await)
        .await;
}

#[tokio::test]
async fn what_differs_from_the_gateway_is_named_on_postgresql() {
    let services = Service::ALL.map(Service::name);
    differences_are_named(Case::start(|_| test_servers::create_databases(&services)).await).await;
}

#[tokio::test]
async fn without_a_gateway_that_remembers_nothing_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let system = program().start(directory.path(), &[]).unwrap();
    assert!(system.stop().unwrap().success());
    let verify = |flags: &[&str]| {
        let output = program().command().args(["verify", "--data-dir"]).arg(directory.path()).args(flags).output();
        let Output { status, stdout, stderr } = output.unwrap();
        (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
    };
    let (is_clean, report) = verify(&[]);
    assert!(
        is_clean && report.contains("payment gateway: not compared; the simulated one remembers nothing"),
        "{report}"
    );
    for (flags, expected) in [
        (&["--payment-gateway=stripe"][..], "needs --stripe-api-key-file"),
        (&["--live"], "the simulated gateway does not move"),
        (&["--gateway-concurrency=0"], "--gateway-concurrency"),
    ] {
        let (is_clean, report) = verify(flags);
        assert!(!is_clean && report.contains(expected), "{flags:?}: {report}");
    }
}
