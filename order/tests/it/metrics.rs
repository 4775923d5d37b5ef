//! The metrics about the end of orders.

use rstest::rstest;
use serde_json::json;
use shared_events::{EventBody, EventType, FailureReason, RefundFailure, Sku};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    until,
};

use crate::harness::Harness;

async fn metric(harness: &Harness, name: &str) -> f64 {
    let text = harness.get("/metrics").await.text;
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    sample.map_or(0.0, |value| value.parse().unwrap())
}

async fn ended(harness: &Harness, end: &str, reason: &str) -> f64 {
    let labels = format!("service=\"order\",end=\"{end}\",reason=\"{reason}\"");
    metric(harness, &format!("order_system_orders_ended_total{{{labels}}}")).await
}

#[rstest]
#[tokio::test]
async fn each_order_is_counted_once_at_its_end(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let declined = || EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    let rejected = EventBody::StockReservationFailed { reason: FailureReason::UnknownItem, item_sku };

    let (_, confirmed) = harness.place().await;
    harness.inventory.publish(&confirmed, EventBody::StockReserved).await;
    assert_eq!(metric(&harness, "order_system_saga_duration_seconds_count{service=\"order\"}").await, 0.0);
    harness.payment.publish(&confirmed, EventBody::PaymentAuthorized).await;
    let (_, failed) = harness.place().await;
    harness.inventory.publish(&failed, rejected).await;
    let (_, undone) = harness.place().await;
    harness.inventory.publish(&undone, EventBody::StockReserved).await;
    harness.payment.publish(&undone, declined()).await;
    harness.inventory.publish(&undone, EventBody::StockReleased).await;
    let (id, cancelled) = harness.place().await;
    assert_eq!(harness.cancel(id).await.status, 202);
    harness.inventory.publish(&cancelled, EventBody::StockReleased).await;
    harness.payment.publish(&cancelled, EventBody::PaymentVoided).await;
    // Late and repeated events do not end it again.
    harness.payment.publish(&failed, EventBody::PaymentVoided).await;
    harness.inventory.publish(&failed, EventBody::StockReleased).await;
    harness.inventory.publish(&confirmed, EventBody::StockReleased).await;
    harness.payment.publish(&undone, declined()).await;

    for (end, reason) in [
        ("confirmed", "none"),
        ("failed", "unknown_item"),
        ("failed", "payment_declined"),
        ("cancelled", "none"),
        ("failed", "deadline_exceeded"),
    ] {
        let count = f64::from(u8::from(reason != "deadline_exceeded"));
        assert_eq!(ended(&harness, end, reason).await, count, "{end} {reason}");
    }
    assert_eq!(metric(&harness, "order_system_saga_duration_seconds_count{service=\"order\"}").await, 4.0);
    assert!(metric(&harness, "order_system_saga_duration_seconds_sum{service=\"order\"}").await > 0.0);
    assert!(metric(&harness, "order_system_inputs_total{service=\"order\",kind=\"command\"}").await >= 5.0);
    assert!(metric(&harness, "order_system_inputs_total{service=\"order\",kind=\"own\"}").await >= 1.0);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn each_refund_is_counted_once_at_its_end(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.confirmed().await;
    for amount in [1, 2] {
        assert_eq!(harness.refund(id, &json!({"amount": amount})).await.status, 202);
        let requested = harness.payment.receive_about(id, EventType::RefundRequested).await;
        let EventBody::RefundRequested { refund } = requested.event.body.clone() else { panic!("{requested:?}") };
        let answer = match amount {
            1 => EventBody::PaymentRefunded { refund },
            _ => EventBody::PaymentRefundFailed { refund, reason: RefundFailure::Declined },
        };
        for _ in 0..2 {
            harness.payment.publish(&requested, answer.clone()).await;
        }
    }
    for result in ["succeeded", "failed"] {
        let name = format!("order_system_refunds_ended_total{{service=\"order\",result=\"{result}\"}}");
        until(result, async || metric(&harness, &name).await >= 1.0).await;
        assert_eq!(metric(&harness, &name).await, 1.0, "{result}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_oldest_open_order_ages_until_it_ends(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let age = async |harness: &Harness| {
        metric(harness, "order_system_oldest_open_order_age_seconds{service=\"order\"}").await
    };
    let (_, first) = harness.place().await;
    let (_, second) = harness.place().await;
    let mut before = 0.0;
    for _ in 0..2 {
        until("it ages", async || age(&harness).await > before).await;
        before = age(&harness).await;
    }
    // An order that is being undone is open.
    harness.inventory.publish(&first, EventBody::StockReserved).await;
    harness.payment.publish(&first, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }).await;
    until("it still ages", async || age(&harness).await > before).await;
    harness.inventory.publish(&first, EventBody::StockReleased).await;
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    let rejected = EventBody::StockReservationFailed { reason: FailureReason::UnknownItem, item_sku };
    harness.inventory.publish(&second, rejected).await;
    until("none is open", async || age(&harness).await == 0.0).await;
    harness.finish().await;
}
