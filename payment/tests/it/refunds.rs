//! Refunds of captured payments.

use std::{collections::HashSet, time::Duration};

use payment::{
    domain::RefundState,
    gateway::{FailureRate, SimulatedGateway, conformance::Moved},
};
use rstest::rstest;
use shared_events::{EventBody, Line, Lines, Money, Quantity, RefundDetails, RefundFailure, RefundId, Sku};
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::{harness::Harness, orders::Order, scripted::Point};

fn refund(amount: &str) -> RefundDetails {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(1).unwrap() };
    RefundDetails {
        refund_id: RefundId(Uuid::now_v7()),
        amount: Money::parse(amount, "USD".parse().unwrap()).unwrap(),
        restock: Some(Lines::new([line]).unwrap()),
    }
}

impl Order {
    fn requested(&self, refund: &RefundDetails) -> shared_events::Envelope {
        self.message(EventBody::RefundRequested { refund: refund.clone() })
    }
}

impl Harness {
    /// Pays an order, and captures the payment.
    async fn captured(&mut self, order: &Order) {
        self.publish(&order.reserved()).await;
        assert_eq!(self.receive().await, order.event(EventBody::PaymentAuthorized));
        self.publish(&order.message(EventBody::OrderConfirmed)).await;
        assert_eq!(self.receive().await, order.event(EventBody::PaymentCaptured));
    }

    /// What has become of the refunds of an order, oldest first.
    async fn refunds(&self, order: &Order) -> Vec<RefundState> {
        let payment = self.row(order.saga_id).await.unwrap();
        payment.refunds.into_iter().map(|refund| refund.state).collect()
    }

    fn refunded(&self, order: &Order) -> i64 {
        self.gateway.moved(order.saga_id).refunded
    }
}

fn done(refund: &RefundDetails) -> EventBody {
    EventBody::PaymentRefunded { refund: refund.clone() }
}

fn failed(refund: &RefundDetails, reason: RefundFailure) -> EventBody {
    EventBody::PaymentRefundFailed { refund: refund.clone(), reason }
}

#[rstest]
#[tokio::test]
async fn a_payment_goes_back_in_parts_and_each_part_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (order, parts) = (Order::of(41, "200"), [refund("150.50"), refund("49.50")]);
    harness.captured(&order).await;
    for part in &parts {
        harness.publish(&order.requested(part)).await;
        assert_eq!(harness.receive().await, order.event(done(part)));
    }
    let moved = Moved { held: 0, captured: 20_000, refunded: 20_000 };
    assert_eq!(harness.gateway.moved(order.saga_id), moved);
    let (_, body) = harness.get("/api/v1/payments/1").await;
    assert_eq!((&body["status"], &body["refunded_amount"]), (&"CAPTURED".into(), &200.into()));
    // Order repeats its request if the answer was lost. It is answered again, and the gateway is not asked.
    harness.publish(&order.requested(&parts[0])).await;
    assert_eq!(harness.receive().await, order.event(done(&parts[0])));
    let more = refund("0.01");
    harness.publish(&order.requested(&more)).await;
    assert_eq!(harness.receive().await, order.event(failed(&more, RefundFailure::ExceedsCaptured)));
    assert_eq!((harness.gateway.moved(order.saga_id), harness.gateway.count(Point::BeforeRefund)), (moved, 2));
    assert_eq!(harness.gateway_calls("refund", "ok").await, 2.0);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_refund_waits_for_the_capture(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (order, refund) = (Order::of(1, "20"), refund("20"));
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    // It overtakes `OrderConfirmed`.
    harness.publish(&order.requested(&refund)).await;
    harness.gateway.hold(Point::BeforeCapture);
    harness.publish(&order.message(EventBody::OrderConfirmed)).await;
    harness.gateway.reached(Point::BeforeCapture, 1).await;
    harness.publish(&order.requested(&refund)).await;
    assert_eq!(harness.refunds(&order).await, [RefundState::Requested]);
    harness.gateway.release(Point::BeforeCapture);
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentCaptured));
    assert_eq!(harness.receive().await, order.event(done(&refund)));
    assert_eq!((harness.refunded(&order), harness.gateway.count(Point::BeforeRefund)), (2_000, 1));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_was_not_captured_is_not_refunded(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (cancelled, unknown, refund) = (Order::of(1, "20"), Order::of(2, "20"), refund("1"));
    harness.publish(&cancelled.cancel()).await;
    assert_eq!(harness.receive().await, cancelled.event(EventBody::PaymentVoided));
    for order in [&cancelled, &unknown] {
        // The second time it is a repetition.
        for _ in 0..2 {
            harness.publish(&order.requested(&refund)).await;
            assert_eq!(harness.receive().await, order.event(failed(&refund, RefundFailure::NotCaptured)));
        }
        let reason = RefundFailure::NotCaptured;
        assert_eq!(harness.refunds(order).await, [RefundState::Failed { reason, detail: None }]);
    }
    assert_eq!(harness.gateway.count(Point::BeforeRefund), 0);
    harness.finish().await;
}

/// After a lost answer, and only then, the gateway's books decide; and it makes no difference whether it has forgotten
/// the key.
#[rstest]
#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_not_made_twice(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for (point, forgets, refunds, lookups) in
        [(Point::BeforeRefund, false, 3, 0), (Point::AfterRefund, false, 1, 1), (Point::AfterRefund, true, 1, 1)]
    {
        let mut harness = Harness::start(database).await;
        let (order, refund) = (Order::of(1, "20"), refund("5"));
        harness.captured(&order).await;
        harness.gateway.fail(point, 2);
        if forgets {
            harness.gateway.hold(Point::BeforeLookup);
        }
        harness.publish(&order.requested(&refund)).await;
        if forgets {
            harness.gateway.reached(Point::BeforeLookup, 1).await;
            harness.gateway.forget_keys();
            harness.gateway.release(Point::BeforeLookup);
        }
        assert_eq!(harness.receive().await, order.event(done(&refund)));
        assert_eq!(harness.refunded(&order), 500, "{point:?}");
        assert_eq!(harness.gateway.count(Point::BeforeRefund), refunds, "{point:?}");
        assert_eq!(harness.gateway.count(Point::BeforeLookup), lookups, "{point:?}");
        harness.finish().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_stop_before_or_after_the_gateway_acts_loses_and_repeats_nothing(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    for point in [Point::BeforeRefund, Point::AfterRefund] {
        let mut harness = Harness::start_with(database, &["--gateway-timeout", "500ms"]).await;
        let (order, parts) = (Order::of(1, "20"), [refund("5"), refund("6")]);
        harness.captured(&order).await;
        harness.gateway.hold(point);
        for part in &parts {
            harness.publish(&order.requested(part)).await;
        }
        harness.gateway.reached(point, 1).await;
        harness.service.restart().await;
        harness.gateway.release(point);
        for part in &parts {
            assert_eq!(harness.receive().await, order.event(done(part)), "{point:?}");
        }
        assert_eq!(harness.refunded(&order), 1_100, "{point:?}");
        harness.finish().await;
    }
}

/// Requests that arrive while the gateway is being asked add no questions.
#[rstest]
#[tokio::test]
async fn repeated_requests_do_not_heap_up(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (order, parts) = (Order::of(1, "20"), [refund("5"), refund("6")]);
    harness.captured(&order).await;
    harness.gateway.hold(Point::BeforeRefund);
    for _ in 0..20 {
        for part in &parts {
            harness.publish(&order.requested(part)).await;
        }
    }
    harness.gateway.reached(Point::BeforeRefund, 1).await;
    // Once a later message is answered, the engine has handed over the calls of all of these.
    let later = Order::of(2, "20");
    harness.publish(&later.cancel()).await;
    assert_eq!(harness.receive().await, later.event(EventBody::PaymentVoided));
    assert_eq!(harness.gateway.count(Point::BeforeRefund), 1);
    harness.gateway.release(Point::BeforeRefund);
    for part in &parts {
        assert_eq!(harness.receive().await, order.event(done(part)));
    }
    assert_eq!((harness.refunded(&order), harness.gateway.count(Point::BeforeRefund)), (1_100, 2));
    harness.finish().await;
}

/// Each replica has a simulated gateway of its own, which remembers how far it has brought a payment itself.
#[rstest]
#[tokio::test]
async fn what_another_replica_has_captured_is_refunded(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let gateway = |_| SimulatedGateway::new(1000, Duration::ZERO, FailureRate::default());
    let mut harness = Harness::start_in_turn(database, [1, 2].map(gateway)).await;
    let (order, refund) = (Order::of(1, "20"), refund("5"));
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    let authorized = harness.row(order.saga_id).await.unwrap().reference.unwrap();
    harness.service.restart().await;
    harness.publish(&order.message(EventBody::OrderConfirmed)).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentCaptured));
    let captured = harness.row(order.saga_id).await.unwrap().reference.unwrap();
    assert_ne!(captured, authorized);
    harness.service.restart().await;
    harness.publish(&order.requested(&refund)).await;
    assert_eq!(harness.receive().await, order.event(done(&refund)));
    assert_eq!(harness.row(order.saga_id).await.unwrap().reference.unwrap(), captured);
    harness.finish().await;
}

/// A gateway without I/O is asked in the transaction of the request, for as many as there are.
#[rstest]
#[tokio::test]
async fn many_orders_are_refunded_by_a_gateway_that_answers_at_once(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start_simulated(database, &[]).await;
    let orders: Vec<Order> = (1..=100).map(|id| Order::of(id, "20")).collect();
    for order in &orders {
        harness.captured(order).await;
    }
    let parts: Vec<_> = orders.iter().map(|_| [refund("15"), refund("5"), refund("1")]).collect();
    let both = || orders.iter().zip(&parts);
    let messages: Vec<_> = both().flat_map(|(order, parts)| parts.iter().map(|part| order.requested(part))).collect();
    harness.hand_over(&messages).await;
    let mut received = HashSet::new();
    while received.len() < messages.len() {
        received.insert(harness.receive().await);
    }
    let expected = both().flat_map(|(order, [first, second, more])| {
        let failed = failed(more, RefundFailure::ExceedsCaptured);
        [done(first), done(second), failed].map(|body| order.event(body))
    });
    assert_eq!(received, expected.collect());
    harness.finish().await;
}
