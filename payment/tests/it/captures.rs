//! The payment of a confirmed order is captured, once.

use rstest::rstest;
use serde_json::json;
use shared_events::{EventBody, OrderId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    outgoing,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

/// An order whose payment is authorized.
async fn authorized(harness: &mut Harness, id: i64) -> Order {
    let order = Order::of(id, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    order
}

/// How many captures the metrics have counted with this result.
async fn counted(harness: &Harness, result: &str) -> String {
    let text = harness.service.http.get("/metrics").await.text;
    let sample = format!("order_system_captures_total{{service=\"payment\",result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).expect(&sample).to_owned()
}

#[rstest]
#[tokio::test]
async fn the_payment_of_a_confirmed_order_is_captured_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = authorized(&mut harness, 1).await;
    assert_eq!((harness.gateway.moved(order.saga_id).captured, counted(&harness, "captured").await), (0, "0".into()));
    // Order repeats it until it is answered.
    for _ in 0..3 {
        harness.publish(&order.confirmed()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentCaptured));
    }
    let moved = harness.gateway.moved(order.saga_id);
    assert_eq!((moved.held, moved.captured, harness.gateway.count(Point::BeforeCapture)), (0, 2_000, 1));
    let (_, body) = harness.get("/api/v1/payments/1").await;
    assert_eq!(
        [&body["status"], &body["authorized"], &body["reason"]],
        [&json!("CAPTURED"), &json!(true), &json!(null)]
    );
    assert_eq!((counted(&harness, "captured").await, counted(&harness, "failed").await), ("1".into(), "0".into()));
    assert!(harness.gateway_calls("capture", "ok").await >= 1.0);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_refused_capture_is_told_and_shown(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = authorized(&mut harness, 1).await;
    harness.gateway.expire(order.saga_id);
    for _ in 0..2 {
        harness.publish(&order.confirmed()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentCaptureFailed));
    }
    assert_eq!(harness.gateway.count(Point::BeforeCapture), 1, "it would be refused again");
    let (_, body) = harness.get("/api/v1/payments/1").await;
    let expected = [&json!("CAPTURE_FAILED"), &json!(false), &json!("it has expired")];
    assert_eq!([&body["status"], &body["authorized"], &body["reason"]], expected);
    assert_eq!((counted(&harness, "captured").await, counted(&harness, "failed").await), ("0".into(), "1".into()));
    harness.finish().await;
}

/// The gateway takes the amount twice at most in its answers, never in its books.
#[rstest]
#[tokio::test]
async fn a_capture_whose_answers_are_lost_is_repeated(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = authorized(&mut harness, 1).await;
    harness.gateway.fail(Point::BeforeCapture, 1);
    harness.gateway.fail(Point::AfterCapture, 1);
    harness.publish(&order.confirmed()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentCaptured));
    assert_eq!(harness.gateway.moved(order.saga_id).captured, 2_000);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_gateway_without_io_captures_within_the_transaction(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_simulated(database, &[]).await;
    let order = Order::of(1, "20");
    let messages = [order.reserved(), order.confirmed()];
    harness.hand_over(&messages).await;
    for body in [EventBody::PaymentAuthorized, EventBody::PaymentCaptured] {
        assert_eq!(harness.receive().await, order.event(body));
    }
    assert_eq!(harness.states().await, ["CAPTURED"]);
    let row = harness.row(order.saga_id).await.unwrap();
    assert_eq!(row.task, None);
    harness.finish().await;
}

/// What a restored database, or a forged event, may lead to.
#[rstest]
#[tokio::test]
async fn nothing_is_captured_that_is_not_authorized_for_the_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    // The payment is not in the table: order is told, and does not repeat it forever.
    let unknown = Order::of(7, "20");
    harness.publish(&unknown.confirmed()).await;
    assert_eq!(harness.receive().await, unknown.event(EventBody::PaymentCaptureFailed));
    assert_eq!((harness.rows().await, counted(&harness, "failed").await), (vec![], "1".into()));
    // It is to be authorized first; order repeats the confirmation.
    let waiting = Order::of(1, "20");
    harness.gateway.hold(Point::BeforeAuthorize);
    harness.publish(&waiting.reserved()).await;
    harness.publish(&waiting.confirmed()).await;
    harness.gateway.release(Point::BeforeAuthorize);
    assert_eq!(harness.receive().await, waiting.event(EventBody::PaymentAuthorized));
    harness.publish(&waiting.confirmed()).await;
    assert_eq!(harness.receive().await, waiting.event(EventBody::PaymentCaptured));
    // Another order, another amount, and the cancellation of what is captured.
    let order = authorized(&mut harness, 2).await;
    let mut others = [order.clone(), order.clone()];
    others[0].details.order_id = OrderId(3);
    others[1].details.total = Order::of(2, "20.01").details.total;
    let impossible = [others[0].confirmed(), others[1].confirmed(), waiting.cancel()];
    harness.hand_over_raw(impossible.iter().map(outgoing).collect()).await;
    for message in &impossible {
        harness.committed(message.header.id).await;
    }
    assert_eq!(harness.states().await, ["CAPTURED", "AUTHORIZED"]);
    assert_eq!(harness.gateway.holds(order.saga_id), 2_000);
    harness.service.dead_letters(3).await;
    harness.finish().await;
}
