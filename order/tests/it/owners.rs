//! Orders of clients with API keys: no owner sees, cancels or replays another's, by whatever door.

mod model;
mod sequences;

use rstest::rstest;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestKey,
};

use crate::{
    harness::{Harness, Plan, example},
    owners::model::refusal,
};

/// What customers' keys allow.
const CUSTOMER: &str = "orders:read orders:write";

/// A row that cannot be read is an error for its owner, and not there for others.
#[rstest]
#[tokio::test]
async fn a_damaged_order_of_another_is_unknown_too(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let keys = ["a", "b"].map(|owner| TestKey::new(owner, CUSTOMER));
    let harness = Harness::start_with_keys(database, Plan::default(), &keys).await;
    let [a, b] = keys.each_ref().map(|key| harness.service.http.with_key(key.text()));
    let placed = a.request(reqwest::Method::POST, "/api/v1/orders").header("prefer", "respond-async");
    let id = testkit::service::answer(placed.json(&example())).await.body["order_id"].as_i64().unwrap();
    let transaction = harness.service.observer().begin().await.unwrap();
    transaction.execute_unprepared("UPDATE orders SET currency = '???'").await.unwrap();
    transaction.commit().await.unwrap();
    for (path, unknown) in [("", ""), ("/events", "/events")] {
        let answer = b.get(&format!("/api/v1/orders/{id}{path}")).await;
        assert_eq!(refusal(answer), refusal(b.get(&format!("/api/v1/orders/999{unknown}")).await));
    }
    let cancel = async |id: i64| refusal(b.post(&format!("/api/v1/orders/{id}/cancel"), &json!({})).await);
    assert_eq!(cancel(id).await, cancel(999).await);
    assert_eq!(b.get("/api/v1/orders").await.body, json!([]));
    assert_eq!(a.get(&format!("/api/v1/orders/{id}")).await.status, 500);
    assert_eq!(a.get(&format!("/api/v1/orders/{id}/events")).await.status, 200);
    let transaction = harness.service.observer().begin().await.unwrap();
    transaction.execute_unprepared("UPDATE orders SET currency = 'USD'").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(a.get(&format!("/api/v1/orders/{id}")).await.body["owner"], "a");
    harness.finish().await;
}
