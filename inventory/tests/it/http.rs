//! Every answer of the REST contract.

use futures::future::join_all;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::{
    harness::Harness,
    saga::{CANCEL, order},
};

fn item(sku: &str, available: i64, held: i64, sold: i64) -> Value {
    let received = available + held + sold;
    json!({"item_sku": sku, "quantity": available, "reserved": held, "sold": sold, "received": received})
}

#[rstest]
#[tokio::test]
async fn stock_is_set_and_read(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    for path in ["/api/v1/stock/items", "/api/v1/stock/items/"] {
        for quantity in [10, 0, 1_000_000_000, 7] {
            let answer = inventory.post(path, &json!({"item_sku": "SKU-ABC", "quantity": quantity, "more": 1})).await;
            assert_eq!((answer.status, answer.body), (201, item("SKU-ABC", quantity, 0, 0)));
        }
    }
    for path in ["/api/v1/stock/SKU-ABC", "/api/v1/stock/SKU-ABC/"] {
        let answer = inventory.get(path).await;
        assert_eq!((answer.status, answer.body), (200, item("SKU-ABC", 7, 0, 0)));
    }
    inventory.get("/api/v1/stock/SKU-XYZ").await.assert_problem(404, "item not found");
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn every_sku_that_can_be_put_in_stock_can_be_read(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.get("/api/v1/stock/items").await.assert_problem(404, "item not found");
    for (sku, path) in [
        ("a/b c?d", "a%2Fb%20c%3Fd"),
        ("крупа", "%D0%BA%D1%80%D1%83%D0%BF%D0%B0"),
        ("'; DROP TABLE stock_items; --", "'%3B%20DROP%20TABLE%20stock_items%3B%20--"),
        ("items", "items"),
        ("reserve", "reserve"),
        ("release", "release/"),
    ] {
        inventory.stock(sku, 3).await;
        let answer = inventory.get(&format!("/api/v1/stock/{path}")).await;
        assert_eq!((answer.status, &answer.body), (200, &item(sku, 3, 0, 0)));
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_list_is_in_order_and_in_pages(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    for path in ["/api/v1/stock", "/api/v1/stock/"] {
        let answer = inventory.get(path).await;
        assert_eq!((answer.status, &answer.body, answer.next_page()), (200, &json!([]), None));
    }
    for sku in ["C", "A", "E & F", "D", "B"] {
        inventory.stock(sku, 1).await;
    }
    let mut pages = Vec::new();
    let mut path = Some("/api/v1/stock/?limit=2".to_owned());
    while let Some(uri) = path {
        let answer = inventory.get(&uri).await;
        let skus = answer.body.as_array().unwrap().iter().map(|item| item["item_sku"].as_str().unwrap().to_owned());
        pages.push(skus.collect::<Vec<_>>());
        path = answer.next_page();
    }
    assert_eq!(pages, [vec!["A", "B"], vec!["C", "D"], vec!["E & F"]]);
    let answer = inventory.get("/api/v1/stock?after=D").await;
    assert_eq!(answer.body, json!([item("E & F", 1, 0, 0)]));
    for query in ["limit=0", "limit=1001", "limit=x", "after=", "after=%00"] {
        assert_eq!(inventory.get(&format!("/api/v1/stock?{query}")).await.status, 422, "{query}");
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_client_reserves_and_releases(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("SKU-ABC", 10).await;
    let answer = inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "SKU-ABC", "quantity": 2})).await;
    let reserved = json!({"reservation_id": 1, "item_sku": "SKU-ABC", "quantity": 2, "remaining_quantity": 8});
    assert_eq!((answer.status, answer.body), (200, reserved));
    assert_eq!(inventory.units("SKU-ABC").await, (8, 2, 0));
    let answer = inventory.post("/api/v1/stock/reserve/", &json!({"item_sku": "SKU-ABC", "quantity": 8})).await;
    assert_eq!((answer.status, &answer.body["remaining_quantity"]), (200, &json!(0)));

    let more = inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "SKU-ABC", "quantity": 1})).await;
    more.assert_problem(400, "insufficient stock");
    let unknown = inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "SKU-XYZ", "quantity": 1})).await;
    unknown.assert_problem(404, "item not found");

    let release = json!({"reservation_id": 1});
    let answer = inventory.post("/api/v1/stock/release", &release).await;
    let released = json!({"released": true, "reservation_id": 1, "item_sku": "SKU-ABC", "quantity": 2});
    assert_eq!((answer.status, answer.body), (200, released));
    assert_eq!(inventory.units("SKU-ABC").await, (2, 8, 0));
    inventory.post("/api/v1/stock/release/", &release).await.assert_problem(400, "reservation already released");
    for id in [i64::MIN, -1, 0, 3, i64::MAX] {
        let unknown = inventory.post("/api/v1/stock/release", &json!({"reservation_id": id})).await;
        unknown.assert_problem(404, "reservation not found");
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_an_order_holds_is_not_for_clients_to_release(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    // Held, sold, released, rejected, and cancelled before it was created.
    for (number, units, end) in [
        (1, 2, None),
        (2, 2, Some(EventBody::OrderConfirmed)),
        (3, 2, Some(CANCEL)),
        (4, 99, None),
        (5, 0, Some(CANCEL)),
    ] {
        let (saga, order) = order(number, &[("A", units.max(1))]);
        if units > 0 {
            inventory.publish(saga, &order, EventBody::OrderCreated).await;
        }
        if let Some(end) = end {
            inventory.publish(saga, &order, end).await;
        }
        let before = inventory.everything().await;
        let refused = inventory.post("/api/v1/stock/release", &json!({"reservation_id": number})).await;
        refused.assert_problem(409, "the reservation belongs to an order, and only its saga can release it");
        assert_eq!(inventory.everything().await, before);
    }
    assert_eq!(inventory.reservations().await.len(), 5);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn sixty_at_once_for_twenty_units_get_twenty(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("HOT", 20).await;
    let request = json!({"item_sku": "HOT", "quantity": 1});
    let answers = join_all((0..60).map(|_| inventory.post("/api/v1/stock/reserve", &request))).await;
    let (got, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((got.len(), refused.len()), (20, 40));
    refused.iter().for_each(|answer| answer.assert_problem(400, "insufficient stock"));
    let mut remaining: Vec<i64> =
        got.iter().map(|answer| answer.body["remaining_quantity"].as_i64().unwrap()).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..20).collect::<Vec<_>>());
    assert_eq!(inventory.units("HOT").await, (0, 20, 0));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn bad_requests_are_refused_and_nothing_is_written(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 1})).await;
    let before = inventory.everything().await;
    let long = "x".repeat(65);
    let skus = [json!(""), json!("  "), json!(long), json!("A\u{0}B"), json!("A\nB"), json!(5), json!(null), json!([])];
    let numbers = [
        json!(-1),
        json!(i64::MIN),
        json!(1_000_000_001),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5),
        json!(1e300),
        json!("1"),
        json!(null),
        json!(true),
        json!([1]),
        json!({}),
    ];
    let mut bodies = Vec::new();
    for path in ["items", "reserve"] {
        bodies.extend(skus.iter().map(|sku| (path, json!({"item_sku": sku, "quantity": 1}))));
        bodies.extend(numbers.iter().map(|number| (path, json!({"item_sku": "A", "quantity": number}))));
        bodies.extend(
            [json!({}), json!([]), json!("A"), json!({"item_sku": "A"}), json!({"quantity": 1})]
                .map(|body| (path, body)),
        );
    }
    bodies.push(("reserve", json!({"item_sku": "A", "quantity": 0})));
    let ids = [json!("1"), json!(1.5), json!(null), json!(u64::MAX), json!([1]), json!(true)];
    bodies.extend(ids.map(|id| ("release", json!({"reservation_id": id}))));
    bodies.push(("release", json!({})));
    for (path, body) in bodies {
        let answer = inventory.post(&format!("/api/v1/stock/{path}"), &body).await;
        assert_eq!((answer.status, answer.body["errors"].is_array()), (422, true), "{path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let json = "application/json";
    for (path, content_type, body, status) in [
        ("items", json, b"".to_vec(), 400),
        ("items", json, b"{".to_vec(), 400),
        ("reserve", json, b"{\"item_sku\": \"A\", \"quantity\": 01}".to_vec(), 400),
        ("release", json, b"\xff".to_vec(), 400),
        ("items", json, vec![b' '; 100_000], 413),
        ("items", "text/plain", b"{}".to_vec(), 415),
        ("elsewhere/deeper", json, b"{}".to_vec(), 404),
        ("", json, b"{}".to_vec(), 405),
        ("A", json, b"{}".to_vec(), 405),
    ] {
        let request = inventory.service.http.request(Method::POST, &format!("/api/v1/stock/{path}"));
        let answer = answer(request.header("content-type", content_type).body(body)).await;
        assert_eq!((answer.status, &answer.body["status"]), (status, &json!(status)), "{path}: {answer:?}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(inventory.request(method, "/api/v1/stock/items").await.status, 405);
    }
    for sku in ["%20", "%00", "%FF", &long] {
        assert_eq!(inventory.get(&format!("/api/v1/stock/{sku}")).await.status, 422, "{sku}");
    }
    assert_eq!(inventory.everything().await, before);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_documentation_names_every_path_and_refusal(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    assert_eq!(inventory.get("/health").await.body, json!({"status": "ok"}));
    let openapi = inventory.get("/openapi.json").await.body;
    for (path, method, statuses) in [
        ("/api/v1/stock", "get", vec!["200", "401", "403", "422", "429", "503"]),
        ("/api/v1/stock/{item_sku}", "get", vec!["200", "304", "401", "403", "404", "422", "429"]),
        ("/api/v1/stock/items", "post", vec!["201", "400", "401", "403", "412", "413", "415", "422", "429", "503"]),
        ("/api/v1/stock/reserve", "post", vec!["200", "400", "401", "403", "404", "413", "415", "422", "429", "503"]),
        (
            "/api/v1/stock/release",
            "post",
            vec!["200", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"],
        ),
    ] {
        let responses = openapi["paths"][path][method]["responses"].as_object().unwrap();
        assert_eq!(responses.keys().collect::<Vec<_>>(), statuses, "{method} {path}");
    }
    inventory.finish().await;
}
