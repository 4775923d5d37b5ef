//! Reservations of clients with API keys: each owner sees and releases its own.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::EventBody;
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TestKey, answer,
};

use crate::{harness::Harness, saga::order};

/// What a refusal tells, without the path that it repeats.
fn refusal(mut answer: Answer) -> (u16, Value) {
    answer.body.as_object_mut().unwrap().remove("instance");
    (answer.status, answer.body)
}

async fn ids(client: &HttpClient, query: &str) -> Vec<i64> {
    let list = client.get(&format!("/api/v1/reservations?{query}")).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.body.as_array().unwrap().iter().map(|one| one["reservation_id"].as_i64().unwrap()).collect()
}

#[rstest]
#[tokio::test]
async fn each_owner_sees_and_releases_its_own_reservations(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let keys = ["shop-a", "shop-a", "shop-b"].map(|owner| TestKey::new(owner, "stock:read stock:write"));
    let admin = TestKey::new("operators", "admin");
    let all_keys: Vec<_> = keys.iter().chain([&admin]).cloned().collect();
    let mut inventory = Harness::start_with_keys(database, &[], &all_keys).await;
    let client = |key: &TestKey| inventory.service.http.with_key(key.text());
    let ([a, a_too, b], admin) = (keys.each_ref().map(client), client(&admin));
    let stocked = admin.post("/api/v1/stock/items", &json!({"item_sku": "A", "quantity": 100})).await;
    assert_eq!(stocked.status, 201, "{stocked:?}");
    let held = order(41, &[("A", 1)]);
    inventory.publish(held.0, &held.1, EventBody::OrderCreated).await;
    for client in [&a, &b, &admin, &b, &a_too] {
        let reserved = client.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 1})).await;
        assert_eq!(reserved.status, 200, "{reserved:?}");
    }
    // The first is the order's.
    for (client, mine) in [(&a, vec![2, 6]), (&a_too, vec![2, 6]), (&b, vec![3, 5])] {
        assert_eq!(ids(client, "").await, mine);
        assert_eq!(ids(client, "limit=1").await, mine[..1]);
        assert_eq!(ids(client, &format!("after={}", mine[0])).await, mine[1..]);
        assert_eq!(ids(client, "order_id=41").await, [0; 0]);
        let unknown = refusal(client.get("/api/v1/reservations/99").await);
        let release = |id: i64| {
            let request = client.request(Method::POST, "/api/v1/stock/release");
            answer(request.json(&json!({"reservation_id": id})))
        };
        let never_there = refusal(release(99).await);
        assert_eq!((unknown.0, never_there.0), (404, 404));
        for id in (-1..=8).filter(|id| !mine.contains(id)) {
            assert_eq!(refusal(client.get(&format!("/api/v1/reservations/{id}")).await), unknown, "{id}");
            assert_eq!(refusal(release(id).await), never_there, "{id}");
        }
        let shown = client.get(&format!("/api/v1/reservations/{}", mine[0])).await;
        assert_eq!((shown.status, shown.body["owner"].as_str().is_some()), (200, true));
    }
    assert_eq!(ids(&admin, "").await, [1, 2, 3, 4, 5, 6]);
    let release = async |client: &HttpClient, id: i64| {
        client.post("/api/v1/stock/release", &json!({"reservation_id": id})).await.status
    };
    // Another key of the same owner may, and an admin may.
    assert_eq!((release(&a_too, 2).await, release(&admin, 3).await, release(&b, 5).await), (200, 200, 200));
    assert_eq!((release(&a, 2).await, release(&b, 2).await, release(&admin, 1).await), (400, 404, 409));
    let item = a.get("/api/v1/stock/A").await.body;
    assert_eq!((&item["quantity"], &item["reserved"]), (&json!(97), &json!(3)));
    inventory.received().await;
    inventory.finish().await;
}
