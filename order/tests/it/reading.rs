//! Reading orders: one, many, their timelines; and the pages about the service itself.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{EventBody, FailureReason};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer, until,
};

use crate::harness::{Harness, example};

fn ids(orders: &Value) -> Vec<i64> {
    orders.as_array().unwrap().iter().map(|order| order["order_id"].as_i64().unwrap()).collect()
}

#[rstest]
#[tokio::test]
async fn orders_are_listed_in_pages(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    assert_eq!(harness.get("/api/v1/orders/").await.body, json!([]));
    for _ in 0..5 {
        harness.post_async(&example()).await;
    }
    let all = harness.get("/api/v1/orders").await;
    assert_eq!((all.status, ids(&all.body), all.header("link")), (200, vec![1, 2, 3, 4, 5], None));
    assert_eq!(all.body[2], harness.order(3).await);

    let mut page = harness.get("/api/v1/orders/?limit=2").await;
    let mut pages = vec![ids(&page.body)];
    while let Some(link) = page.header("link") {
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap().to_owned();
        page = harness.get(&next).await;
        pages.push(ids(&page.body));
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);

    assert_eq!(ids(&harness.get("/api/v1/orders?after=3").await.body), [4, 5]);
    assert_eq!(ids(&harness.get("/api/v1/orders?after=99").await.body), [0; 0]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn orders_are_listed_by_status(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let reason = FailureReason::PaymentDeclined;
    let (_, confirmed) = harness.place().await;
    harness.inventory.publish(&confirmed, EventBody::StockReserved).await;
    harness.payment.publish(&confirmed, EventBody::PaymentAuthorized).await;
    harness.inventory.receive(shared_events::EventType::OrderConfirmed).await;
    let (_, compensating) = harness.place().await;
    harness.payment.publish(&compensating, EventBody::PaymentFailed { reason }).await;
    harness.inventory.receive(shared_events::EventType::PaymentFailed).await;
    let (_, failed) = harness.place().await;
    harness.payment.publish(&failed, EventBody::PaymentFailed { reason }).await;
    harness.inventory.publish(&failed, EventBody::StockReleased).await;
    harness.inventory.receive(shared_events::EventType::PaymentFailed).await;
    let (cancelled_id, cancelled) = harness.place().await;
    harness.cancel(cancelled_id).await;
    harness.inventory.publish(&cancelled, EventBody::StockReleased).await;
    harness.payment.publish(&cancelled, EventBody::PaymentVoided).await;
    harness.post_async(&example()).await;
    harness.post_async(&example()).await;
    for (status, expected) in [
        ("CONFIRMED", vec![1]),
        ("COMPENSATING", vec![2]),
        ("FAILED", vec![3]),
        ("CANCELLED", vec![4]),
        ("PENDING", vec![5, 6]),
    ] {
        let page = harness.get(&format!("/api/v1/orders?status={status}")).await;
        assert_eq!(ids(&page.body), expected, "{status}");
        assert!(page.body.as_array().unwrap().iter().all(|order| order["status"] == status));
    }
    let page = harness.get("/api/v1/orders?status=PENDING&limit=1").await;
    assert_eq!(ids(&page.body), [5]);
    assert_eq!(page.header("link"), Some("</api/v1/orders?status=PENDING&limit=1&after=5>; rel=\"next\""));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_list_that_cannot_be_is_refused(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("limit=-1", "limit"),
        ("after=x", "after"),
        ("after=99999999999999999999", "after"),
        ("status=confirmed", "status"),
        ("status=", "status"),
        ("limit=1&limit=2", "limit"),
    ] {
        let answer = harness.get(&format!("/api/v1/orders/?{query}")).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{query}: {answer:?}");
    }
    for query in ["limit=1000", "limit=1", "after=-5", "unknown=1", "after=0&status=PENDING"] {
        assert_eq!(harness.get(&format!("/api/v1/orders/?{query}")).await.status, 200, "{query}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_not_there_is_not_found(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    harness.post_async(&example()).await;
    for id in ["2", "0", "-1", "9223372036854775807"] {
        harness.get(&format!("/api/v1/orders/{id}")).await.assert_problem(404, "order not found");
        harness.get(&format!("/api/v1/orders/{id}/events")).await.assert_problem(404, "order not found");
        let cancel = answer(harness.request(Method::POST, &format!("/api/v1/orders/{id}/cancel"))).await;
        cancel.assert_problem(404, "order not found");
        assert_eq!(cancel.body["instance"], format!("/api/v1/orders/{id}/cancel"));
    }
    for path in ["/api", "/api/v2/orders", "/api/v1/orders/1/lines", "/api/v1//orders", "/api/v1/orders/1/events/2"] {
        harness.get(path).await.assert_problem(404, "there is nothing at this path");
    }
    for id in ["abc", "1.5", "99999999999999999999", "%00", "1%20", "%F0%9F%98%80", "%ff"] {
        let answer = harness.get(&format!("/api/v1/orders/{id}")).await;
        assert!(
            (answer.status == 422 || answer.status == 400) && answer.body["detail"].is_string(),
            "{id}: {answer:?}"
        );
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_named(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    harness.post_async(&example()).await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/orders/1", "GET"),
        (Method::PUT, "/api/v1/orders/", "POST"),
        (Method::GET, "/api/v1/orders/1/cancel", "POST"),
        (Method::POST, "/api/v1/orders/1/events", "GET"),
        (Method::POST, "/health", "GET"),
    ] {
        let answer = answer(harness.request(method.clone(), path)).await;
        answer.assert_problem(405, "this path does not answer to this method");
        assert!(answer.header("allow").is_some_and(|header| header.contains(allowed)), "{method} {path}: {answer:?}");
    }
    assert_eq!(harness.status(1).await.0, "PENDING");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn each_path_answers_with_and_without_a_slash_behind(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let id = harness.post_async(&example()).await;
    for path in ["/api/v1/orders", "/api/v1/orders/1", "/api/v1/orders/1/events", "/health"] {
        let (without, with) = (harness.get(path).await, harness.get(&format!("{path}/")).await);
        assert_eq!((without.status, with.status), (200, 200), "{path}");
        assert_eq!(without.body, with.body);
    }
    assert_eq!(id, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_timeline_tells_what_happened(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let reserved = harness.inventory.publish(&created, EventBody::StockReserved).await;
    let authorized = harness.payment.publish(&reserved, EventBody::PaymentAuthorized).await;
    let answer = harness.get(&format!("/api/v1/orders/{id}/events")).await;
    let entries = answer.body.as_array().unwrap().clone();
    let rows: Vec<Value> =
        entries.iter().map(|entry| json!([entry["event"], entry["source"], entry["changed"]])).collect();
    assert_eq!(rows[0], json!(["OrderCreated", "order", "status is PENDING"]));
    assert_eq!(rows[1], json!(["StockReserved", "inventory", "stock is reserved"]));
    assert!(rows.contains(&json!(["PaymentAuthorized", "payment", "payment is authorized, status is CONFIRMED"])));
    assert!(rows.contains(&json!(["OrderConfirmed", "order", "status is CONFIRMED"])));
    assert_eq!(rows.len(), 4);
    let entry = |event: &str| entries.iter().find(|entry| entry["event"] == event).unwrap();
    assert_eq!(entry("OrderCreated")["message_id"], created.header.id.to_string());
    assert_eq!(entry("StockReserved")["message_id"], reserved.header.id.to_string());
    assert_eq!(entry("StockReserved")["time"], reserved.header.time.to_string());
    assert_eq!(entry("PaymentAuthorized")["message_id"], authorized.header.id.to_string());
    assert!(entries.iter().all(|entry| entry["recorded_at"].is_string()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_service_tells_how_it_is_and_what_it_can_do(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    assert_eq!(harness.get("/health").await.body, json!({"status": "ok"}));
    until("it is ready", async || harness.get("/health/ready").await.status == 200).await;
    let ready = harness.get("/health/ready").await.body;
    assert_eq!(ready["status"], "ready");
    let names: Vec<&Value> = ready["dependencies"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["database", "broker", "queue", "system"]);

    let docs = harness.get("/docs/").await;
    assert!(docs.status == 200 && docs.text.contains("swagger-ui"), "{docs:?}");
    assert_eq!(harness.get("/docs").await.status, 200, "it leads there");
    let openapi = harness.get("/openapi.json").await.body;
    assert_eq!(openapi["info"]["title"], "Order service");
    let paths = openapi["paths"].as_object().unwrap();
    for (path, method) in [
        ("/api/v1/orders", "post"),
        ("/api/v1/orders", "get"),
        ("/api/v1/orders/{order_id}", "get"),
        ("/api/v1/orders/{order_id}/events", "get"),
        ("/api/v1/orders/{order_id}/cancel", "post"),
        ("/api/v1/orders/stream", "get"),
        ("/health", "get"),
        ("/health/ready", "get"),
    ] {
        assert!(paths[path][method].is_object(), "{method} {path}");
    }
    harness.finish().await;
}

/// On SQLite the service's clock is the machine's; on PostgreSQL it is the server's, and does not see the change.
#[rstest]
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_turn_a_timeline_round(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.service.database.clock().skew_system_clock("-1min".parse().unwrap());
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    let timeline = harness.timeline(id).await;
    assert!(timeline[0].starts_with("OrderCreated"), "{timeline:?}");
    let order = harness.order(id).await;
    assert!(order["updated_at"].as_str() >= order["created_at"].as_str(), "{order}");
    harness.remaining_events().await;
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_has_the_current_order_gets_no_body(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.place().await;
    let path = format!("/api/v1/orders/{id}");
    let first = harness.get(&path).await;
    let tag = first.header("etag").unwrap().to_owned();
    let get = async |known: &str| answer(harness.request(Method::GET, &path).header("if-none-match", known)).await;
    let again = get(&tag).await;
    assert_eq!((again.status, &*again.text, again.header("etag")), (304, "", Some(&*tag)));
    assert_eq!(get("\"another\"").await.body, first.body);
    assert_eq!(harness.cancel(id).await.status, 202);
    let cancelled = get(&tag).await;
    assert_eq!(cancelled.status, 200);
    assert_ne!(cancelled.header("etag"), Some(&*tag));
    harness.finish().await;
}
