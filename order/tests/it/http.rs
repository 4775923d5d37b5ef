//! Placing orders: the answers, with their fields and headers.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{EventBody, EventType, FailureReason, Sku};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::harness::{Harness, Plan, example};

/// The order without its times, which are checked here.
fn without_times(mut order: Value) -> Value {
    for field in ["created_at", "updated_at"] {
        let time = order.as_object_mut().unwrap().remove(field).unwrap();
        let time = time.as_str().unwrap().to_owned();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    order
}

#[rstest]
#[tokio::test]
async fn a_confirmed_order_is_answered_when_its_saga_ends(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let posting = tokio::spawn(answer(harness.posting(&example())));
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    assert_eq!(created.event.order.order_id.0, 1);
    assert_eq!(created.event.order.total.to_string(), "200 USD");
    assert_eq!(
        serde_json::to_value(&created.event.order.lines).unwrap(),
        json!([{"item_sku": "SKU-ABC", "quantity": 2}])
    );
    assert!(!posting.is_finished());
    let reserved = harness.inventory.publish(&created, EventBody::StockReserved).await;
    assert_eq!(harness.payment.receive(EventType::StockReserved).await, reserved);
    assert_eq!(harness.status(1).await, ("PENDING".to_owned(), "PENDING".to_owned()));
    assert!(!posting.is_finished());
    harness.payment.publish(&reserved, EventBody::PaymentAuthorized).await;

    let answer = posting.await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!((answer.header("location"), answer.header("retry-after")), (None, None));
    assert_eq!(harness.order(1).await, answer.body);
    let expected = json!({
        "order_id": 1, "status": "CONFIRMED", "payment_status": "SUCCEEDED", "item_sku": "SKU-ABC", "quantity": 2,
        "items": [{"item_sku": "SKU-ABC", "quantity": 2}], "amount": 200, "currency": "USD", "version": 3,
    });
    assert_eq!(without_times(answer.body), expected);
    let confirmed = harness.inventory.receive(EventType::OrderConfirmed).await;
    assert_eq!((confirmed.event.saga_id, &confirmed.event.order), (created.event.saga_id, &created.event.order));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_failed_order_is_an_answer_with_its_reason(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    for (reason, name, detail) in [
        (FailureReason::InsufficientStock, "INSUFFICIENT_STOCK", "insufficient stock"),
        (FailureReason::UnknownItem, "UNKNOWN_ITEM", "item not found"),
    ] {
        let posting = tokio::spawn(answer(harness.posting(&example())));
        let created = harness.inventory.receive(EventType::OrderCreated).await;
        let item_sku = Sku::parse("SKU-ABC").unwrap();
        harness.inventory.publish(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
        let answer = posting.await.unwrap();
        let order = without_times(answer.body);
        assert_eq!((answer.status, &order["status"]), (200, &json!("FAILED")));
        assert_eq!((&order["failure_reason"], &order["detail"]), (&json!(name), &json!(detail)));
        assert_eq!(order["payment_status"], "NOT_ATTEMPTED");
        assert_eq!((answer.headers.get("location"), &order["item_sku"]), (None, &json!("SKU-ABC")));
    }
    assert_eq!(harness.remaining_events().await, (vec![], vec![]));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_declined_payment_is_answered_once_the_stock_is_back(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let posting = tokio::spawn(answer(harness.posting(&example())));
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    let reserved = harness.inventory.publish(&created, EventBody::StockReserved).await;
    let reason = FailureReason::PaymentDeclined;
    let declined = harness.payment.publish(&reserved, EventBody::PaymentFailed { reason }).await;
    assert_eq!(harness.inventory.receive(EventType::PaymentFailed).await, declined);
    let order = harness.order(1).await;
    assert_eq!((&order["status"], &order["payment_status"]), (&json!("COMPENSATING"), &json!("FAILED")));
    assert_eq!((order.get("failure_reason"), order.get("detail")), (None, None));
    assert!(!posting.is_finished());
    harness.inventory.publish(&declined, EventBody::StockReleased).await;
    let answer = posting.await.unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("FAILED")));
    assert_eq!(answer.body["payment_status"], "FAILED");
    assert_eq!(answer.body["failure_reason"], "PAYMENT_DECLINED");
    assert_eq!(answer.body["detail"], "payment declined");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn when_the_wait_is_over_the_answer_says_where_to_look(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan::default();
    plan.order.order_wait = Duration::from_millis(20);
    let mut harness = Harness::start_with(database, plan).await;
    let answer = harness.post(&example()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (202, Some("1")));
    assert_eq!(answer.header("preference-applied"), None);
    assert_eq!(answer.header("location"), Some("/api/v1/orders/1"));
    let expected = json!({
        "order_id": 1, "status": "PENDING", "payment_status": "PENDING", "item_sku": "SKU-ABC", "quantity": 2,
        "items": [{"item_sku": "SKU-ABC", "quantity": 2}], "amount": 200, "currency": "USD", "version": 1,
    });
    assert_eq!(without_times(answer.body), expected);

    let created = harness.inventory.receive(EventType::OrderCreated).await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    assert_eq!(harness.order(1).await["status"], "CONFIRMED");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_amount_is_kept_to_the_last_digit(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (sent, currency, shown) in [
        ("200.50", "USD", "200.50"),
        ("200.5", "USD", "200.50"),
        ("0.07", "USD", "0.07"),
        ("2e2", "USD", "200"),
        ("7", "JPY", "7"),
        ("1.234", "KWD", "1.234"),
        ("9999999999999.99", "USD", "9999999999999.99"),
    ] {
        let body = format!(r#"{{"item_sku": "A", "quantity": 1, "amount": {sent}, "currency": "{currency}"}}"#);
        let request = harness.request(Method::POST, "/api/v1/orders").header("content-type", "application/json");
        let answer = answer(request.header("prefer", "respond-async").body(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(answer.text.contains(&format!("\"amount\":{shown},")), "{sent}: {}", answer.text);
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_order_may_have_several_lines(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let line = |sku: &str, quantity: i64| json!({"item_sku": sku, "quantity": quantity});
    let items = json!([line("SKU-B", 1), line("SKU-A", 2), line("SKU-B", 3)]);
    let id = harness.post_async(&json!({"items": items, "amount": 10, "currency": "EUR"})).await;
    let order = harness.order(id).await;
    let sorted = json!([line("SKU-A", 2), line("SKU-B", 4)]);
    assert_eq!(order["items"], sorted, "sorted, and the same SKU added up");
    assert_eq!((order.get("item_sku"), order.get("quantity")), (None, None));
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    assert_eq!(serde_json::to_value(&created.event.order.lines).unwrap(), sorted);

    let items = json!([line("SKU-C", 1), line("SKU-C", 1)]);
    let id = harness.post_async(&json!({"items": items, "amount": 10, "currency": "EUR"})).await;
    let order = harness.order(id).await;
    assert_eq!((&order["item_sku"], &order["quantity"]), (&json!("SKU-C"), &json!(2)), "just one line");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_the_service_does_not_know_of_an_order_is_ignored(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let mut body = example();
    body["note"] = json!({"gift": [true, null, 1e308]});
    assert_eq!(harness.post_async(&body).await, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trace_goes_on_into_the_event(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (header, expected) in [(traceparent, Some(traceparent)), ("nonsense", None)] {
        let request = harness.posting(&example()).header("prefer", "respond-async").header("traceparent", header);
        assert_eq!(answer(request).await.status, 202);
        let created = harness.inventory.receive(EventType::OrderCreated).await;
        assert_eq!(created.header.traceparent.as_deref(), expected);
    }
    harness.finish().await;
}
