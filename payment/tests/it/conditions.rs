//! The conditions of the simulated gateway, set over the admin API.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use testkit::service::{
    ADMIN_TOKEN, Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::harness::Harness;

const PATH: &str = "/admin/gateway";
const PAYMENT: &str = r#"{"order_id": 1, "amount": 20, "currency": "USD"}"#;

async fn get(harness: &Harness) -> Answer {
    answer(harness.service.http.request(Method::GET, PATH).bearer_auth(ADMIN_TOKEN)).await
}

async fn put(harness: &Harness, body: &Value) -> Answer {
    answer(harness.service.http.request(Method::PUT, PATH).bearer_auth(ADMIN_TOKEN).json(body)).await
}

#[rstest]
#[tokio::test]
async fn the_gateway_fails_and_recovers_at_run_time(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start_simulated(database, &["--gateway-timeout", "50ms"]).await;
    let usual = json!({"latency_ms": 0, "failure_rate": 0.0});
    assert_eq!(get(&harness).await.body, usual);
    assert_eq!(harness.authorize(PAYMENT).await.0, 200);
    let failing = json!({"latency_ms": 1, "failure_rate": 1.0});
    let set = put(&harness, &failing).await;
    assert_eq!((set.status, &set.body), (200, &failing));
    let (status, payment) = harness.authorize(PAYMENT).await;
    assert_eq!((status, &payment["status"]), (202, &json!("REQUESTED")), "{payment}");
    for (body, field) in [
        (json!({"latency_ms": 60_001, "failure_rate": 0}), "latency_ms"),
        (json!({"latency_ms": -1, "failure_rate": 0}), "latency_ms"),
        (json!({"latency_ms": 0, "failure_rate": 1.1}), "failure_rate"),
        (json!({"latency_ms": 0, "failure_rate": -0.1}), "failure_rate"),
        (json!({"latency_ms": 0}), "failure_rate"),
    ] {
        let refused = put(&harness, &body).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!(field)), "{body}");
    }
    assert_eq!(get(&harness).await.body, failing, "nothing was set");
    assert_eq!(put(&harness, &usual).await.status, 200);
    assert_eq!(harness.authorize(PAYMENT).await.0, 200);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn only_an_operator_sets_only_the_simulated_gateway(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let failing = json!({"latency_ms": 0, "failure_rate": 1.0});
    for method in [Method::GET, Method::PUT] {
        let request = harness.service.http.request(method, PATH).json(&failing);
        assert_eq!(answer(request).await.status, 401);
    }
    get(&harness).await.assert_problem(409, "the gateway is not the simulated one");
    put(&harness, &failing).await.assert_problem(409, "the gateway is not the simulated one");
    harness.finish().await;
}
