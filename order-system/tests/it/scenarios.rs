//! Scenarios of the running system, through its public API.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    client::{Client, answer, ok},
    process::{Program, Running},
};

use crate::program;

struct Stage {
    program: Program,
    system: Option<Running>,
    client: Client,
    directory: TempDir,
}

impl Stage {
    fn set(arguments: &[&str]) -> Self {
        let program = program();
        let directory = tempfile::tempdir().unwrap();
        let system = program.start(directory.path(), arguments).unwrap();
        let client = Client::new(system.addresses).unwrap();
        Self { program, system: Some(system), client, directory }
    }

    fn restart(&mut self, arguments: &[&str]) {
        assert!(self.system.take().unwrap().stop().unwrap().success());
        let system = self.program.start(self.directory.path(), arguments).unwrap();
        self.client = Client::new(system.addresses).unwrap();
        self.system = Some(system);
    }

    /// Stops gracefully and audits the data. Every test calls it last.
    fn end(mut self) {
        let status = self.system.take().unwrap().stop().unwrap();
        assert!(status.success(), "{status}");
        let audit = self.program.verify(self.directory.path(), "0s").unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

#[tokio::test]
async fn of_60_orders_for_20_units_exactly_20_are_confirmed() {
    let stage = Stage::set(&[]);
    stage.client.put_in_stock("SKU-HOT", 20).await.unwrap();
    let answers = join_all((0..60).map(|_| stage.client.place("SKU-HOT", 1, 10, None))).await;
    let orders: Vec<(StatusCode, Value)> = answers.into_iter().map(Result::unwrap).collect();
    assert!(orders.iter().all(|(status, _)| *status == StatusCode::OK), "{orders:?}");
    let count = |status: &str| orders.iter().filter(|(_, order)| order["status"] == status).count();
    assert_eq!((count("CONFIRMED"), count("FAILED")), (20, 40));
    let failed = orders.iter().find(|(_, order)| order["status"] == "FAILED").unwrap();
    assert_eq!(failed.1["failure_reason"], "INSUFFICIENT_STOCK");
    assert_eq!(failed.1["detail"], "insufficient stock");
    // The stock is marked as sold after the response.
    let stock = async || stage.client.stock("SKU-HOT").await;
    let stock = stage.client.until("all sold", stock, |stock| stock["sold"] == 20).await.unwrap();
    assert_eq!((&stock["quantity"], &stock["reserved"]), (&json!(0), &json!(0)));
    stage.end();
}

#[tokio::test]
async fn one_idempotency_key_makes_one_order_one_reservation_and_one_payment() {
    let stage = Stage::set(&[]);
    stage.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    let answers = join_all((0..40).map(|_| stage.client.place("SKU-ABC", 2, 200, Some("the-key")))).await;
    for answer in answers {
        let (status, order) = answer.unwrap();
        assert_eq!((status, &order["order_id"], &order["status"]), (StatusCode::OK, &json!(1), &json!("CONFIRMED")));
    }
    assert_eq!(stage.client.orders().await.unwrap().len(), 1);
    let payments = ok(stage.client.payment(Method::GET, "/api/v1/payments/")).await.unwrap();
    assert_eq!(payments.as_array().unwrap().len(), 1, "{payments}");
    assert_eq!(stage.client.stock("SKU-ABC").await.unwrap()["quantity"], 98);
    stage.end();
}

#[tokio::test]
async fn a_client_that_reads_failed_finds_the_stock_restored() {
    let stage = Stage::set(&[]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    for _ in 0..20 {
        let (status, order) = stage.client.place("SKU-ABC", 7, 1_000, None).await.unwrap();
        assert_eq!(
            (status, &order["status"], &order["payment_status"]),
            (StatusCode::OK, &json!("FAILED"), &json!("FAILED"))
        );
        assert_eq!(order["detail"], "payment declined");
        let stock = stage.client.stock("SKU-ABC").await.unwrap();
        assert_eq!((&stock["quantity"], &stock["reserved"]), (&json!(10), &json!(0)));
    }
    stage.end();
}

#[tokio::test]
async fn stopping_and_starting_again_keeps_everything() {
    // The gateway is so slow that the order is unfinished when the system stops.
    let mut stage = Stage::set(&["--gateway-latency=1h", "--gateway-timeout=2h", "--drain-timeout=1s"]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let body = json!({"item_sku": "SKU-ABC", "quantity": 4, "amount": 9.99, "currency": "USD"});
    let request = stage.client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
    let (status, order) = answer(request).await.unwrap();
    assert_eq!((status, &order["status"]), (StatusCode::ACCEPTED, &json!("PENDING")));
    let stock = async || stage.client.stock("SKU-ABC").await;
    stage.client.until("it is held", stock, |stock| stock["reserved"] == 4).await.unwrap();

    stage.restart(&[]);
    let read = async || ok(stage.client.order(Method::GET, "/api/v1/orders/1")).await;
    let order = stage.client.until("it ends", read, |order| order["status"] == "CONFIRMED").await.unwrap();
    assert_eq!(order["amount"], json!(9.99));
    assert_eq!(stage.client.stock("SKU-ABC").await.unwrap()["quantity"], 6);
    stage.end();
}

#[tokio::test]
async fn a_waiting_request_is_answered_when_the_system_stops() {
    let mut stage = Stage::set(&["--gateway-latency=1h", "--gateway-timeout=2h", "--drain-timeout=1s"]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let client = stage.client.clone();
    let waiting = tokio::spawn(async move {
        let body = json!({"item_sku": "SKU-ABC", "quantity": 4, "amount": 10, "currency": "USD"});
        answer(client.order(Method::POST, "/api/v1/orders").header("prefer", "wait=60").json(&body)).await
    });
    let stock = async || stage.client.stock("SKU-ABC").await;
    stage.client.until("it is held", stock, |stock| stock["reserved"] == 4).await.unwrap();
    stage.restart(&[]);
    let (status, order) = waiting.await.unwrap().unwrap();
    assert_eq!((status, &order["status"]), (StatusCode::ACCEPTED, &json!("PENDING")));
    let read = async || ok(stage.client.order(Method::GET, "/api/v1/orders/1")).await;
    stage.client.until("it ends", read, |order| order["status"] == "CONFIRMED").await.unwrap();
    stage.end();
}

#[tokio::test]
async fn a_failing_gateway_delays_and_never_charges_twice() {
    let stage = Stage::set(&["--gateway-failure-rate=0.5", "--order-wait=60s"]);
    stage.client.put_in_stock("SKU-ABC", 100).await.unwrap();
    let answers = join_all((0..10).map(|_| stage.client.place("SKU-ABC", 1, 10, None))).await;
    for answer in answers {
        let (status, order) = answer.unwrap();
        assert_eq!((status, &order["status"]), (StatusCode::OK, &json!("CONFIRMED")));
    }
    let payments = ok(stage.client.payment(Method::GET, "/api/v1/payments/")).await.unwrap();
    assert_eq!(payments.as_array().unwrap().len(), 10, "{payments}");
    stage.end();
}

#[tokio::test]
async fn an_order_past_its_deadline_fails_and_gives_its_stock_back() {
    let stage = Stage::set(&[
        "--gateway-latency=1h",
        "--gateway-timeout=2h",
        "--order-deadline=300ms",
        "--tick=50ms",
        "--drain-timeout=1s",
    ]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let (status, order) = stage.client.place("SKU-ABC", 4, 10, None).await.unwrap();
    assert_eq!((status, &order["status"]), (StatusCode::OK, &json!("FAILED")), "{order}");
    assert_eq!(
        (&order["failure_reason"], &order["detail"]),
        (&json!("DEADLINE_EXCEEDED"), &json!("deadline exceeded"))
    );
    let stock = stage.client.stock("SKU-ABC").await.unwrap();
    assert_eq!((&stock["quantity"], &stock["reserved"]), (&json!(10), &json!(0)));
    drop(stage);
}

#[tokio::test]
async fn more_load_than_it_can_take_is_refused_and_what_was_answered_is_kept() {
    let stage = Stage::set(&["--max-waiting=4", "--max-backlog=20"]);
    stage.client.put_in_stock("SKU-ABC", 1_000_000).await.unwrap();
    let body = json!({"item_sku": "SKU-ABC", "quantity": 1, "amount": 10, "currency": "USD"});
    let post =
        || stage.client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body).send();
    let (mut kept, mut refused) = (0, 0);
    for answer in join_all((0..600).map(|_| post())).await {
        let answer = answer.unwrap();
        match answer.status() {
            StatusCode::ACCEPTED | StatusCode::OK => kept += 1,
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers().contains_key("retry-after"));
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    let all = async || stage.client.orders().await;
    let orders = stage
        .client
        .until("all end", all, |orders| orders.iter().all(|order| order["status"] == "CONFIRMED"))
        .await
        .unwrap();
    assert_eq!(orders.len(), kept);
    stage.end();
}

#[tokio::test]
async fn bad_input_is_refused_everywhere_and_nothing_is_written() {
    let stage = Stage::set(&[]);
    let deep = format!(
        r#"{{"item_sku":{}1{},"quantity":1,"amount":1,"currency":"USD"}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let huge = format!(r#"{{"item_sku":"{}","quantity":1,"amount":1,"currency":"USD"}}"#, "x".repeat(2 * 1024 * 1024));
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        "\u{0}",
        "{\"item_sku\": NaN}",
        &deep,
        &huge,
        r#"{"item_sku":"A","quantity":1,"amount":NaN,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1e400,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1e400,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":"1","amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":"1","currency":"USD"}"#,
        r#"{"item_sku":"A\u0000B","quantity":1,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"  ","quantity":1,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":0,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":-1,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1.5,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":9223372036854775808,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":0,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":-1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1.001,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1.5,"currency":"JPY"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1,"currency":"ZZZ"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1,"currency":"usd"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1}"#,
        r#"{"items":[],"amount":1,"currency":"USD"}"#,
        r#"{"items":[{"item_sku":"A","quantity":1}],"item_sku":"A","quantity":1,"amount":1,"currency":"USD"}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1,"currency":"USD","idempotency_key":""}"#,
        r#"{"item_sku":"A","quantity":1,"amount":1,"currency":"USD","quantity":2}"#,
    ];
    for body in bodies {
        let shown = &body[..body.len().min(80)];
        let posts = [
            stage.client.order(Method::POST, "/api/v1/orders/"),
            stage.client.inventory(Method::POST, "/api/v1/stock/reserve"),
            stage.client.payment(Method::POST, "/api/v1/payments/authorize"),
        ];
        // A body that is valid JSON may be accepted by another endpoint; one that is not JSON is refused everywhere.
        for post in if serde_json::from_str::<Value>(body).is_ok() { &posts[..1] } else { &posts[..] } {
            let post = post.try_clone().unwrap().header("content-type", "application/json").body(body.to_owned());
            let answer = post.send().await.unwrap();
            assert!(answer.status().is_client_error(), "{}: {shown}", answer.status());
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{shown}");
            let problem: Value = answer.json().await.unwrap();
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        }
    }
    assert_eq!(stage.client.orders().await.unwrap(), Vec::<Value>::new());
    for service in
        [stage.client.inventory(Method::GET, "/api/v1/stock"), stage.client.payment(Method::GET, "/api/v1/payments")]
    {
        assert_eq!(ok(service).await.unwrap(), json!([]));
    }
    stage.end();
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let mut stage = Stage::set(&["--gateway-latency=1h", "--gateway-timeout=2h", "--drain-timeout=1h"]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let body = json!({"item_sku": "SKU-ABC", "quantity": 4, "amount": 10, "currency": "USD"});
    let request = stage.client.order(Method::POST, "/api/v1/orders").header("prefer", "respond-async").json(&body);
    assert_eq!(answer(request).await.unwrap().0, StatusCode::ACCEPTED);
    let stock = async || stage.client.stock("SKU-ABC").await;
    stage.client.until("it is held", stock, |stock| stock["reserved"] == 4).await.unwrap();

    let system = stage.system.take().unwrap();
    system.signal("INT").unwrap();
    // It drains for up to an hour: it accepts no more connections, but has not ended.
    let refused = async || Ok(tokio::net::TcpStream::connect(stage.client.addresses[0]).await.is_err());
    stage.client.until("it takes no more connections", refused, |refused| *refused).await.unwrap();
    assert_eq!(system.stop().unwrap().code(), Some(130));

    let system = stage.program.start(stage.directory.path(), &[]).unwrap();
    stage.client = Client::new(system.addresses).unwrap();
    stage.system = Some(system);
    let read = async || ok(stage.client.order(Method::GET, "/api/v1/orders/1")).await;
    stage.client.until("it ends", read, |order| order["status"] == "CONFIRMED").await.unwrap();
    stage.end();
}

#[tokio::test]
async fn a_confirmed_order_is_refunded_with_its_goods() {
    let stage = Stage::set(&[]);
    stage.client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let (_, order) = stage.client.place("SKU-ABC", 4, 200, None).await.unwrap();
    assert_eq!(order["status"], "CONFIRMED");
    let refunds = "/api/v1/orders/1/refunds";
    let part = json!({"amount": 49.99, "items": [{"item_sku": "SKU-ABC", "quantity": 3}], "restock": true});
    for body in [&part, &json!({"reason": "too late"})] {
        let (status, refund) = answer(stage.client.order(Method::POST, refunds).json(body)).await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{refund}");
    }
    let (status, more) = answer(stage.client.order(Method::POST, refunds).json(&json!({"amount": 1}))).await.unwrap();
    assert_eq!(status, StatusCode::CONFLICT, "{more}");
    let ended = |all: &Value| {
        let ended = |one: &Value| one["status"] == "SUCCEEDED" && one["restocked"] == one["restock"];
        all.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(ended))
    };
    let read = async || ok(stage.client.order(Method::GET, refunds)).await;
    let all = stage.client.until("both have ended", read, ended).await.unwrap();
    assert_eq!((&all[0]["amount"], &all[1]["amount"]), (&json!(49.99), &json!(150.01)));
    let order = ok(stage.client.order(Method::GET, "/api/v1/orders/1")).await.unwrap();
    assert_eq!((&order["refunded_amount"], &order["status"]), (&json!(200), &json!("CONFIRMED")));
    let stock = stage.client.stock("SKU-ABC").await.unwrap();
    assert_eq!((&stock["quantity"], &stock["sold"], &stock["received"]), (&json!(9), &json!(1), &json!(10)));
    let payment = ok(stage.client.payment(Method::GET, "/api/v1/payments/1")).await.unwrap();
    assert_eq!((&payment["refunded_amount"], &payment["status"]), (&json!(200), &json!("CAPTURED")));
    stage.end();
}
