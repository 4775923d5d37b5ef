//! Refunds of confirmed orders, whole and in part.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use shared_events::{Envelope, EventBody, EventType, FailureReason, RefundDetails, RefundFailure};
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    TestKey, answer, until,
};

use crate::harness::{Harness, Plan, example};

impl Harness {
    /// Places the example and confirms it. Returns its number, and a message about it.
    pub(crate) async fn confirmed(&mut self) -> (i64, Envelope) {
        let (id, created) = self.place().await;
        self.inventory.publish(&created, EventBody::StockReserved).await;
        self.payment.publish(&created, EventBody::PaymentAuthorized).await;
        until("confirmed", async || self.status(id).await.0 == "CONFIRMED").await;
        (id, created)
    }

    pub(crate) async fn refund(&self, id: i64, body: &Value) -> Answer {
        answer(self.request(Method::POST, &format!("/api/v1/orders/{id}/refunds")).json(body)).await
    }

    async fn requested(&mut self, id: i64) -> (Envelope, RefundDetails) {
        let envelope = self.payment.receive_about(id, EventType::RefundRequested).await;
        let EventBody::RefundRequested { refund } = envelope.event.body.clone() else { panic!("{envelope:?}") };
        (envelope, refund)
    }

    async fn refund_is(&self, location: &str, status: &str, restocked: bool) -> Value {
        until(status, async || {
            let refund = self.get(location).await.body;
            refund["status"] == status && refund["restocked"] == restocked
        })
        .await;
        self.get(location).await.body
    }

    async fn refund_count(&self) -> u64 {
        order::store::refunds::Entity::find().count(&self.service.observer().reader()).await.unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn a_part_of_an_order_goes_back_with_its_goods(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.confirmed().await;
    let part = json!({
        "amount": 50.5, "items": [{"item_sku": "SKU-ABC", "quantity": 1}], "restock": true, "reason": "one was broken",
    });
    let accepted = harness.refund(id, &part).await;
    assert_eq!((accepted.status, &accepted.body["status"]), (202, &json!("REQUESTED")), "{accepted:?}");
    let location = accepted.header("location").unwrap().to_owned();
    let (requested, details) = harness.requested(id).await;
    assert_eq!(details.amount.to_string(), "50.50 USD");
    assert_eq!(json!(details.restock), part["items"]);

    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund: details.clone() }).await;
    harness.refund_is(&location, "SUCCEEDED", false).await;
    harness.inventory.publish(&requested, EventBody::StockReturned { refund: details }).await;
    let refund = harness.refund_is(&location, "SUCCEEDED", true).await;
    for (field, value) in [("amount", json!(50.5)), ("currency", json!("USD")), ("reason", part["reason"].clone())] {
        assert_eq!(refund[field], value, "{refund}");
    }
    let order = harness.order(id).await;
    assert_eq!((&order["status"], &order["payment_status"]), (&json!("CONFIRMED"), &json!("SUCCEEDED")));
    assert_eq!(order["refunded_amount"], json!(50.5));
    let expected = ["OrderConfirmed", "RefundRequested", "PaymentRefunded", "StockReturned"];
    assert!(harness.timeline(id).await.ends_with(&expected.map(str::to_owned)));

    let rest = harness.refund(id, &json!({})).await;
    assert_eq!((rest.status, &rest.body["amount"], &rest.body["restock"]), (202, &json!(149.5), &json!(false)));
    assert_eq!(rest.body["items"], part["items"]);
    let (requested, details) = harness.requested(id).await;
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund: details }).await;
    until("all is refunded", async || harness.order(id).await["refunded_amount"] == json!(200)).await;
    harness
        .refund(id, &json!({}))
        .await
        .assert_problem(409, "the whole amount is refunded already, or is being refunded");
    let first = harness.get(&format!("/api/v1/orders/{id}/refunds?limit=1")).await;
    let second = harness.get(&first.next_page().unwrap()).await;
    assert_eq!((first.body, second.body[0]["refund_id"].clone()), (json!([refund]), rest.body["refund_id"].clone()));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_repeated_request_is_the_same_refund(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let ((one, _), (other, _)) = (harness.confirmed().await, harness.confirmed().await);
    let body = json!({"amount": 10, "idempotency_key": "k"});
    let requests = (0..20).map(|_| harness.refund(one, &body));
    let answers = futures::future::join_all(requests).await;
    for again in &answers {
        assert_eq!((again.status, &again.body["refund_id"]), (202, &answers[0].body["refund_id"]));
    }
    let path = format!("/api/v1/orders/{one}/refunds");
    let in_header =
        harness.request(Method::POST, &path).header("idempotency-key", "\"k\"").json(&json!({"amount": 10.0}));
    assert_eq!(answer(in_header).await.body["refund_id"], answers[0].body["refund_id"]);
    let why = "idempotency_key: was used for a refund of the order with other content";
    harness.refund(one, &json!({"amount": 11, "idempotency_key": "k"})).await.assert_problem(422, why);
    // Each order has keys of its own.
    assert_eq!(harness.refund(other, &body).await.status, 202);
    assert_eq!(harness.refund_count().await, 2);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_refused_refund_writes_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (pending, created) = harness.place().await;
    harness
        .refund(pending, &json!({}))
        .await
        .assert_problem(409, "the order is PENDING; only a confirmed one can be refunded");
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }).await;
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    until("failed", async || harness.status(pending).await.0 == "FAILED").await;
    harness
        .refund(pending, &json!({}))
        .await
        .assert_problem(409, "the order is FAILED; only a confirmed one can be refunded");

    let (id, _) = harness.confirmed().await;
    let item = |sku: &str, units: i64| json!([{"item_sku": sku, "quantity": units}]);
    for (body, field) in [
        (json!({"amount": 200.01}), "amount"),
        (json!({"amount": 0}), "amount"),
        (json!({"amount": -1}), "amount"),
        (json!({"amount": "1"}), "amount"),
        (json!({"amount": 0.001}), "amount"),
        (json!({"items": item("SKU-ABC", 1)}), "amount"),
        (json!({"amount": 1, "restock": true}), "items"),
        (json!({"amount": 1, "items": item("SKU-ABC", 3)}), "items"),
        (json!({"amount": 1, "items": item("SKU-XYZ", 1)}), "items"),
        (json!({"amount": 1, "items": []}), "items"),
        (json!({"amount": 1, "items": item("SKU-ABC", 0)}), "items[0].quantity"),
        (json!({"restock": "yes"}), "restock"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (json!({"reason": "a\0b"}), "reason"),
        (json!({"idempotency_key": " "}), "idempotency_key"),
    ] {
        let answer = harness.refund(id, &body).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{body}: {answer:?}");
    }
    for path in [format!("/api/v1/orders/{}/refunds", id + 1), format!("/api/v1/orders/{id}/refunds/{}", uuid(1))] {
        assert_eq!(harness.get(&path).await.status, 404, "{path}");
    }
    harness.refund(id + 1, &json!({})).await.assert_problem(404, "order not found");
    assert_eq!(harness.refund_count().await, 0);
    let to_payment = harness.remaining_events().await.1;
    assert!(to_payment.iter().all(|body| body.refund().is_none()), "{to_payment:?}");
    harness.finish().await;
}

/// To place orders is no permission to give money back; and an order of another owner is not there.
#[rstest]
#[tokio::test]
async fn a_refund_needs_the_scope_for_money_and_the_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let customer = "orders:read orders:write";
    let keys = [("a", customer), ("a", "orders:read payments:write"), ("b", "orders:read payments:write")];
    let keys = keys.map(|(owner, scopes)| TestKey::new(owner, scopes));
    let mut harness = Harness::start_with_keys(database, Plan::default(), &keys).await;
    let [shop, office, other] = keys.each_ref().map(|key| harness.service.http.with_key(key.text()));
    let placed = shop.request(Method::POST, "/api/v1/orders").header("prefer", "respond-async");
    let id = answer(placed.json(&example())).await.body["order_id"].as_i64().unwrap();
    let created = harness.inventory.receive_about(id, EventType::OrderCreated).await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    let order = format!("/api/v1/orders/{id}");
    until("confirmed", async || shop.get(&order).await.body["status"] == "CONFIRMED").await;

    let path = format!("{order}/refunds");
    assert_eq!(shop.post(&path, &json!({})).await.status, 403);
    other.post(&path, &json!({})).await.assert_problem(404, "order not found");
    let accepted = office.post(&path, &json!({})).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let location = accepted.header("location").unwrap().to_owned();
    for path in [&path, &location] {
        assert_eq!((shop.get(path).await.status, other.get(path).await.status), (200, 404), "{path}");
    }
    harness.requested(id).await;
    harness.finish().await;
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

#[rstest]
#[tokio::test]
async fn what_could_not_go_back_can_be_tried_again(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.confirmed().await;
    let accepted = harness.refund(id, &json!({"restock": true})).await;
    let location = accepted.header("location").unwrap().to_owned();
    let (requested, refund) = harness.requested(id).await;
    let failed = EventBody::PaymentRefundFailed { refund: refund.clone(), reason: RefundFailure::Declined };
    harness.payment.publish(&requested, failed).await;
    let failed = harness.refund_is(&location, "FAILED", false).await;
    assert_eq!(failed["failure_reason"], "DECLINED");
    assert_eq!(harness.order(id).await.get("refunded_amount"), None);
    // A late answer to the contrary changes nothing.
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund }).await;
    let again = harness.refund(id, &json!({"restock": true})).await;
    assert_eq!((again.status, &again.body["amount"]), (202, &json!(200)));
    let (requested, refund) = harness.requested(id).await;
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund }).await;
    harness.refund_is(again.header("location").unwrap(), "SUCCEEDED", false).await;
    assert_eq!(harness.get(&location).await.body, failed);
    assert_eq!(harness.order(id).await["refunded_amount"], json!(200));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_refund_that_has_succeeded_may_fail_later(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.confirmed().await;
    let accepted = harness.refund(id, &json!({"restock": true})).await;
    let location = accepted.header("location").unwrap().to_owned();
    let (requested, refund) = harness.requested(id).await;
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund: refund.clone() }).await;
    harness.inventory.publish(&requested, EventBody::StockReturned { refund: refund.clone() }).await;
    harness.refund_is(&location, "SUCCEEDED", true).await;
    assert_eq!(harness.order(id).await["refunded_amount"], json!(200));
    let reversed = EventBody::PaymentRefundFailed { refund: refund.clone(), reason: RefundFailure::Reversed };
    harness.payment.publish(&requested, reversed.clone()).await;
    let failed = harness.refund_is(&location, "FAILED", true).await;
    assert_eq!(failed["failure_reason"], "REVERSED");
    // Repeated and late events change nothing.
    harness.payment.publish(&requested, reversed).await;
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund }).await;
    // The amount can be refunded again. The goods are back already.
    let all = json!({"restock": true, "idempotency_key": "again"});
    let again = harness.refund(id, &all).await;
    assert_eq!((again.status, &again.body["amount"], &again.body["restock"]), (202, &json!(200), &json!(false)));
    assert_eq!(harness.refund(id, &all).await.body, again.body);
    assert_eq!(harness.get(&location).await.body, failed);
    let order = harness.order(id).await;
    assert_eq!((order.get("refunded_amount"), &order["status"]), (None, &json!("CONFIRMED")));
    let timeline = harness.get(&format!("/api/v1/orders/{id}/events")).await.text;
    assert!(timeline.contains("refund has failed"), "{timeline}");
    harness.requested(id).await;
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_unanswered_request_is_repeated_by_every_replica(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan::default();
    plan.order.cancel_repeat = Duration::from_millis(20);
    plan.order.cancel_repeat_longest = Duration::from_millis(40);
    let mut harness = Harness::start_with(database, plan).await;
    let (id, _) = harness.confirmed().await;
    let accepted = harness.refund(id, &json!({"restock": true})).await;
    let location = accepted.header("location").unwrap().to_owned();
    let (_, first) = harness.requested(id).await;
    harness.service.restart().await;
    let (requested, second) = harness.requested(id).await;
    assert_eq!(first, second);
    harness.payment.publish(&requested, EventBody::PaymentRefunded { refund: second.clone() }).await;
    harness.refund_is(&location, "SUCCEEDED", false).await;
    // The goods are missing, so payment is asked again, and tells inventory again.
    harness.payment.received();
    harness.requested(id).await;
    harness.inventory.publish(&requested, EventBody::StockReturned { refund: second }).await;
    harness.refund_is(&location, "SUCCEEDED", true).await;
    assert_eq!(order::store::refunds::count_unfinished(&harness.service.observer().reader()).await.unwrap(), 0);
    assert_eq!(harness.order(id).await["refunded_amount"], json!(200));
    harness.finish().await;
}
