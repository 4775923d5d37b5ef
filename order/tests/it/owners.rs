//! Orders of clients with API keys: no owner sees, cancels or replays another's, by whatever door.

mod model;
mod sequences;

use rstest::rstest;
use saga_database::revoke_api_key;
use serde_json::json;
use shared_events::Timestamp;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TestKey, execute, until, within_timeout,
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
    execute(harness.service.observer(), "UPDATE orders SET currency = '???'").await;
    for (path, unknown) in [("", ""), ("/events", "/events")] {
        let answer = b.get(&format!("/api/v1/orders/{id}{path}")).await;
        assert_eq!(refusal(answer), refusal(b.get(&format!("/api/v1/orders/999{unknown}")).await));
    }
    let cancel = async |id: i64| refusal(b.post(&format!("/api/v1/orders/{id}/cancel"), &json!({})).await);
    assert_eq!(cancel(id).await, cancel(999).await);
    assert_eq!(b.get("/api/v1/orders").await.body, json!([]));
    assert_eq!(a.get(&format!("/api/v1/orders/{id}")).await.status, 500);
    assert_eq!(a.get(&format!("/api/v1/orders/{id}/events")).await.status, 200);
    execute(harness.service.observer(), "UPDATE orders SET currency = 'USD'").await;
    assert_eq!(a.get(&format!("/api/v1/orders/{id}")).await.body["owner"], "a");
    harness.finish().await;
}

/// Reads a stream to its end.
async fn read_to_end(mut response: reqwest::Response) {
    let end = async { while response.chunk().await.unwrap().is_some() {} };
    within_timeout("the stream ends", end).await;
}

#[rstest]
#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked_or_one_is_needed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let watch = async |http: &HttpClient| {
        let request = http.request(reqwest::Method::GET, "/api/v1/orders/stream");
        let response = within_timeout("the stream begins", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        response
    };
    let anonymous = watch(&harness.service.http).await;
    let [revoked, kept] = ["a", "a"].map(|owner| TestKey::new(owner, CUSTOMER));
    for key in [&revoked, &kept] {
        harness.service.add_key(key).await;
    }
    read_to_end(anonymous).await;
    let [revoked_client, kept_client] = [&revoked, &kept].map(|key| harness.service.http.with_key(key.text()));
    for client in [&revoked_client, &kept_client] {
        until("the key is known", async || client.get("/api/v1/orders").await.status == 200).await;
    }
    let (ended, mut goes_on) = (watch(&revoked_client).await, watch(&kept_client).await);
    let transaction = harness.service.observer().begin().await.unwrap();
    assert!(revoke_api_key(&transaction, revoked.id(), Timestamp::from_unix_micros(1)).await.unwrap());
    transaction.commit().await.unwrap();
    read_to_end(ended).await;
    assert_eq!(revoked_client.get("/api/v1/orders").await.status, 401);
    // The other one still gets what happens.
    let placed = kept_client.request(reqwest::Method::POST, "/api/v1/orders").header("prefer", "respond-async");
    assert_eq!(testkit::service::answer(placed.json(&example())).await.status, 202);
    let mut text = String::new();
    while !text.contains("event: order") {
        let chunk = within_timeout("an event", goes_on.chunk()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    drop(goes_on);
    harness.finish().await;
}
