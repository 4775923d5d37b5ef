//! The list of payments that were not captured, and of refunds that have not reached their end.

use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{EventBody, EventType, RefundFailure};
use testkit::service::{
    ADMIN_TOKEN,
    DatabaseKind::{self, Postgres, Sqlite},
    execute, until,
};

use crate::harness::Harness;

const PATH: &str = "/admin/unsettled";

/// Returns the numbers of the orders whose capture is not settled, and the status of each refund that is not.
async fn unsettled(harness: &Harness, path: &str) -> (Vec<i64>, Vec<String>) {
    let answer = harness.service.http.with_key(ADMIN_TOKEN).get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = |kind: &str| answer.body[kind].as_array().unwrap().clone();
    let captures = all("captures").iter().map(|order| order["order_id"].as_i64().unwrap()).collect();
    let status = |refund: &Value| refund["status"].as_str().unwrap().to_owned();
    (captures, all("refunds").iter().map(status).collect())
}

#[rstest]
#[tokio::test]
async fn what_has_failed_and_what_is_open_is_listed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    assert_eq!(unsettled(&harness, PATH).await, (vec![], vec![]));
    let mut created = Vec::new();
    for _ in 0..4 {
        created.push(harness.confirmed().await);
    }
    let [(one, first), (two, second), (three, _), (four, last)] = created.try_into().unwrap();
    // The first two have failed, the third is open, and the last one is settled.
    for envelope in [&first, &second] {
        harness.payment.publish(envelope, EventBody::PaymentCaptureFailed).await;
    }
    harness.payment.publish(&last, EventBody::PaymentCaptured).await;
    until("captured", async || harness.order(four).await["capture"] == "CAPTURED").await;
    until("failed", async || harness.order(two).await["capture"] == "FAILED").await;
    for body in [json!({"amount": 1}), json!({"amount": 2}), json!({"amount": 3, "restock": false})] {
        assert_eq!(harness.refund(four, &body).await.status, 202);
    }
    let requested = async |harness: &mut Harness| {
        let envelope = harness.payment.receive_about(four, EventType::RefundRequested).await;
        let EventBody::RefundRequested { refund } = envelope.event.body.clone() else { panic!("{envelope:?}") };
        (envelope, refund)
    };
    let (envelope, refund) = requested(&mut harness).await;
    let failed = EventBody::PaymentRefundFailed { refund, reason: RefundFailure::Declined };
    harness.payment.publish(&envelope, failed).await;
    let (envelope, refund) = requested(&mut harness).await;
    harness.payment.publish(&envelope, EventBody::PaymentRefunded { refund }).await;
    requested(&mut harness).await;
    until("refunded", async || harness.order(four).await["refunded_amount"] == json!(2)).await;

    let open = ["FAILED", "REQUESTED"].map(str::to_owned).to_vec();
    assert_eq!(unsettled(&harness, PATH).await, (vec![two, one, three], open.clone()));
    assert_eq!(unsettled(&harness, &format!("{PATH}?limit=1")).await, (vec![two, three], open.clone()));
    // What has failed is listed however young it is.
    let long_ago = format!("{PATH}?open_since=1990-01-01T00:00:00Z");
    assert_eq!(unsettled(&harness, &long_ago).await, (vec![two, one], open[..1].to_vec()));
    let answer = harness.service.http.with_key(ADMIN_TOKEN).get(&format!("{PATH}?open_since=soon")).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_ne!(harness.get(PATH).await.status, 200, "only operators see it");

    // A row that cannot be read hides no other.
    let database = harness.service.observer();
    execute(database, &format!("UPDATE orders SET currency = 'XXX' WHERE order_id IN ({one}, {four})")).await;
    assert_eq!(unsettled(&harness, PATH).await, (vec![two, three], vec![]));
    execute(database, "UPDATE orders SET currency = 'USD'").await;
    harness.remaining_events().await;
    harness.finish().await;
}
