//! Idempotency keys: the same key never places a second order.

use futures::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{EventBody, EventType};
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::harness::{Harness, example};

fn keyed(key: &str) -> Value {
    let mut order = example();
    order["idempotency_key"] = json!(key);
    order
}

#[rstest]
#[tokio::test]
async fn the_same_key_with_the_same_content_is_the_same_order_as_it_stands(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    assert_eq!(harness.post_async(&keyed("unique-key-001")).await, 1);
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    assert_eq!(harness.post_async(&keyed("unique-key-001")).await, 1, "still pending: 202");
    // A client that sends it again may wait for the same end.
    let posting = tokio::spawn(answer(harness.posting(&keyed("unique-key-001"))));
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    let first = posting.await.unwrap();
    assert_eq!((first.status, &first.body["status"]), (200, &json!("CONFIRMED")));
    for prefer in ["", "respond-async", "wait=0"] {
        let again = answer(harness.posting(&keyed("unique-key-001")).header("prefer", prefer)).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{prefer}");
    }
    assert_eq!(harness.order_count().await, 1);
    assert_eq!(harness.timeline(1).await.iter().filter(|event| *event == "OrderCreated").count(), 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_same_content_in_other_words_is_the_same(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    assert_eq!(harness.post_async(&keyed("k")).await, 1);
    let items = |quantities: &[i64]| -> Vec<Value> {
        quantities.iter().map(|quantity| json!({"item_sku": "SKU-ABC", "quantity": quantity})).collect()
    };
    let other_words = json!({"items": items(&[1, 1]), "amount": 200.00, "currency": "USD", "idempotency_key": "k"});
    assert_eq!(harness.post_async(&other_words).await, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_same_key_with_other_content_is_refused(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    harness.post_async(&keyed("k")).await;
    for (field, value) in
        [("item_sku", json!("SKU-ABD")), ("quantity", json!(3)), ("amount", json!(200.01)), ("currency", json!("EUR"))]
    {
        let mut other = keyed("k");
        other[field] = value;
        let answer = harness.post(&other).await;
        answer.assert_problem(422, "idempotency_key: was used for a request with other content");
        assert_eq!(answer.body["errors"][0]["field"], "idempotency_key");
    }
    assert_eq!(harness.order_count().await, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_key_may_stand_in_the_header(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let with_header = |body: &Value, key: &str| {
        answer(harness.posting(body).header("prefer", "respond-async").header("idempotency-key", key))
    };
    let number = |answer: Answer| answer.body["order_id"].as_i64().unwrap();
    assert_eq!(number(with_header(&example(), "k").await), 1);
    assert_eq!(number(with_header(&example(), "k").await), 1);
    assert_eq!(number(with_header(&keyed("k"), "k").await), 1, "in both, the same");
    // As a string of structured fields: the quotes are not part of the key.
    assert_eq!(number(with_header(&example(), "\"k\"").await), 1);
    assert_eq!(number(with_header(&keyed("k"), "\"k\"").await), 1);
    assert_eq!(harness.post_async(&keyed("k")).await, 1);
    let answer = with_header(&keyed("k"), "other").await;
    answer.assert_problem(422, "idempotency_key: differs from the header Idempotency-Key");
    for (key, detail) in [
        ("", "must not be blank"),
        ("\"\"", "must not be blank"),
        ("\"k", "must end with its only quote that is not escaped"),
        (&*"x".repeat(256), "must have at most 255 characters"),
    ] {
        let answer = with_header(&example(), key).await;
        answer.assert_problem(422, &format!("idempotency_key: {detail}"));
    }
    let latin_1 = reqwest::header::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let request = harness.posting(&example()).header("idempotency-key", latin_1);
    testkit::service::answer(request).await.assert_problem(422, "Idempotency-Key: must be text in UTF-8");
    assert_eq!(harness.order_count().await, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_a_key_each_request_is_an_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    assert_eq!((harness.post_async(&example()).await, harness.post_async(&example()).await), (1, 2));
    let mut null = example();
    null["idempotency_key"] = Value::Null;
    assert_eq!((harness.post_async(&null).await, harness.post_async(&null).await), (3, 4));
    harness.finish().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_at_the_same_instant_are_one_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let posts = (0..40).map(|_| tokio::spawn(answer(harness.posting(&keyed("rush")))));
    let posts: Vec<_> = posts.collect();
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    for answer in join_all(posts).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body["order_id"]), (200, &json!(1)), "{answer:?}");
        assert_eq!(answer.body["status"], "CONFIRMED");
    }
    assert_eq!(harness.order_count().await, 1);
    assert_eq!(harness.inventory.receive(EventType::OrderConfirmed).await.event.saga_id, created.event.saga_id);
    assert_eq!(harness.remaining_events().await.0, [], "one OrderCreated, and no more");
    harness.finish().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_forty_with_other_contents_one_is_taken(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let posts = (1..=40).map(|quantity| {
        let mut order = keyed("rush");
        order["quantity"] = json!(quantity);
        tokio::spawn(answer(harness.posting(&order).header("prefer", "respond-async")))
    });
    let answers = join_all(posts.collect::<Vec<_>>()).await;
    let mut statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (202, &[422; 39][..]));
    assert_eq!(harness.order_count().await, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_means_of_payment_is_content_too_and_reaches_payment(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let paid_with = |method: Value| {
        let mut order = keyed("k");
        order["payment_method"] = method;
        order
    };
    assert_eq!(harness.post_async(&paid_with(json!("pm_card_visa"))).await, 1);
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    assert_eq!(created.event.order.payment_method.map(String::from).as_deref(), Some("pm_card_visa"));
    assert_eq!(harness.get("/api/v1/orders/1").await.body["payment_method"], "pm_card_visa");
    assert_eq!(harness.post_async(&paid_with(json!("pm_card_visa"))).await, 1);
    for other in [json!("pm_card_mastercard"), Value::Null] {
        let answer = answer(harness.posting(&paid_with(other.clone()))).await;
        assert_eq!(answer.status, 422, "{other}: {answer:?}");
    }
    harness.finish().await;
}
