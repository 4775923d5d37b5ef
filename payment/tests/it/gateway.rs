//! A gateway that is slow, fails or hangs, and cancellations that cross its calls.

use std::collections::HashSet;

use rstest::rstest;
use shared_events::{EventBody, FailureReason};
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{harness::Harness, orders::Order, scripted::Point};

#[rstest]
#[tokio::test]
async fn a_slow_gateway_holds_up_nobody_else(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (slow, cancelled) = (Order::of(1, "20"), Order::of(2, "20"));
    harness.gateway.hold(Point::BeforeAuthorize);
    // The message is acknowledged although the gateway has not answered.
    harness.publish(&slow.reserved()).await;
    harness.gateway.reached(Point::BeforeAuthorize, 1).await;
    let (_, body) = harness.get("/api/v1/payments/1").await;
    assert_eq!((&body["status"], &body["authorized"]), (&"REQUESTED".into(), &false.into()));

    harness.publish(&cancelled.cancel()).await;
    assert_eq!(harness.receive().await, cancelled.event(EventBody::PaymentVoided));

    harness.gateway.release(Point::BeforeAuthorize);
    assert_eq!(harness.receive().await, slow.event(EventBody::PaymentAuthorized));
    assert_eq!(harness.states().await, ["AUTHORIZED", "CANCELLED"]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_failing_gateway_is_asked_again_and_never_charges_twice(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    // How often each is asked: after a lost answer, and only then, the gateway's books decide.
    for (point, authorizations, lookups) in [(Point::BeforeAuthorize, 3, 0), (Point::AfterAuthorize, 1, 1)] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.gateway.fail(point, 2);
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
        assert_eq!(harness.gateway.count(Point::BeforeAuthorize), authorizations, "{point:?}");
        assert_eq!(harness.gateway.count(Point::BeforeLookup), lookups, "{point:?}");
        assert_eq!((harness.gateway.charges(order.saga_id), harness.gateway.holds(order.saga_id)), (1, 2_000));
        assert_eq!(harness.states().await, ["AUTHORIZED"]);
        let failed = if point == Point::BeforeAuthorize { 2.0 } else { 1.0 };
        assert_eq!(harness.gateway_calls("authorize", "failed").await, failed);
        assert_eq!(harness.gateway_calls("authorize", "ok").await, authorizations as f64 - failed);
        assert_eq!(harness.gateway_calls("void", "ok").await, 0.0);
        harness.finish().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_gateway_that_hangs_is_asked_what_became_of_it(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_with(database, &["--gateway-timeout", "50ms"]).await;
    let order = Order::of(1, "20");
    harness.gateway.hold(Point::AfterAuthorize);
    harness.publish(&order.reserved()).await;
    // Its answer never comes, but its books show the charge.
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!((harness.gateway.charges(order.saga_id), harness.gateway.count(Point::BeforeAuthorize)), (1, 1));
    harness.gateway.release(Point::AfterAuthorize);
    harness.finish().await;
}

/// The cancellation is decided before there is anything to void.
#[rstest]
#[tokio::test]
async fn a_cancellation_overtakes_the_preparation(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for point in [Point::BeforePrepare, Point::AfterPrepare] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.gateway.hold(point);
        harness.publish(&order.reserved()).await;
        harness.gateway.reached(point, 1).await;
        // It is answered at once, and does not wait for the gateway.
        harness.publish(&order.cancel()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
        assert_eq!(harness.states().await, ["VOIDED"]);
        harness.gateway.release(point);
        // A later payment is through, so the late answer has been handled, too.
        let later = Order::of(2, "20");
        harness.publish(&later.reserved()).await;
        assert_eq!(harness.receive().await, later.event(EventBody::PaymentAuthorized));
        assert_eq!(harness.states().await, ["VOIDED", "AUTHORIZED"]);
        assert_eq!(harness.gateway.charges(order.saga_id), 0, "{point:?}");
        harness.finish().await;
    }
}

/// The cancellation is decided during the authorization: before the gateway charges, and after.
#[rstest]
#[tokio::test]
async fn a_cancellation_overtakes_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for (point, charges) in [(Point::BeforeAuthorize, 0), (Point::AfterAuthorize, 1)] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.gateway.hold(point);
        harness.publish(&order.reserved()).await;
        harness.gateway.reached(point, 1).await;
        // It does not wait for the authorization, and is answered once the gateway has voided the payment.
        harness.publish(&order.cancel()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
        assert_eq!(harness.states().await, ["VOIDED"]);
        assert_eq!(harness.gateway.holds(order.saga_id), 0, "{point:?}");
        harness.gateway.release(point);
        let later = Order::of(2, "20");
        harness.publish(&later.reserved()).await;
        assert_eq!(harness.receive().await, later.event(EventBody::PaymentAuthorized));
        assert_eq!(harness.states().await, ["VOIDED", "AUTHORIZED"]);
        // `PaymentAuthorized` was never published, and nothing is held.
        assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (0, charges));
        harness.finish().await;
    }
}

/// The cancellation is decided after the authorization, and is answered only once the gateway has voided.
#[rstest]
#[tokio::test]
async fn a_cancellation_follows_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for point in [Point::BeforeVoid, Point::AfterVoid] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
        harness.gateway.hold(point);
        harness.publish(&order.cancel()).await;
        harness.gateway.reached(point, 1).await;
        assert_eq!(harness.states().await, ["VOIDING"]);
        let (_, body) = harness.get("/api/v1/payments/1").await;
        assert_eq!((&body["status"], &body["authorized"]), (&"VOIDING".into(), &false.into()));

        // A repeated reservation arrives during the void.
        harness.publish(&order.reserved()).await;
        harness.gateway.release(point);
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
        assert_eq!(harness.states().await, ["VOIDED"]);
        assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (0, 1), "{point:?}");
        harness.finish().await;
    }
}

/// Both in one batch, in either order, many times.
#[rstest]
#[tokio::test]
async fn a_cancellation_and_a_reservation_arrive_together(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let orders: Vec<Order> = (1..=100).map(|id| Order::of(id, "20")).collect();
    let messages = orders.iter().flat_map(|order| match order.details.order_id.0 % 2 {
        0 => [order.reserved(), order.cancel()],
        _ => [order.cancel(), order.reserved()],
    });
    let messages: Vec<_> = messages.collect();
    harness.hand_over(&messages).await;
    // Which of the two was decided first decides whether `PaymentAuthorized` was published; it does not decide the end.
    let mut voided = HashSet::new();
    while voided.len() < orders.len() {
        let event = harness.receive().await;
        match event.body {
            EventBody::PaymentVoided => assert!(voided.insert(event.saga_id), "{event:?}"),
            body => assert!(body == EventBody::PaymentAuthorized && !voided.contains(&event.saga_id), "{body:?}"),
        }
    }
    for message in &messages {
        harness.committed(message.header.id).await;
    }
    assert!(harness.states().await.iter().all(|state| matches!(&**state, "VOIDED" | "CANCELLED")));
    assert!(orders.iter().all(|order| harness.gateway.holds(order.saga_id) == 0));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_void_that_fails_is_tried_again(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.gateway.fail(Point::BeforeVoid, 3);
    harness.publish(&order.cancel()).await;
    // The cancellation is answered, although the first attempts failed.
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.count(Point::BeforeVoid)), (0, 4));
    harness.publish(&order.cancel()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn questions_to_void_do_not_heap_up(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.gateway.hold(Point::BeforeVoid);
    // None of these, and no tick meanwhile, asks a second time.
    for _ in 0..20 {
        harness.publish(&order.cancel()).await;
    }
    // Once a later message is answered, the engine has handed over the calls of all of these.
    let later = Order::of(2, "20");
    harness.publish(&later.cancel()).await;
    assert_eq!(harness.receive().await, later.event(EventBody::PaymentVoided));
    harness.gateway.reached(Point::BeforeVoid, 1).await;
    assert_eq!(harness.gateway.count(Point::BeforeVoid), 1);
    harness.gateway.release(Point::BeforeVoid);
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_simulated_gateway_is_as_its_settings_say(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_simulated(
        database,
        &["--payment-limit", "50", "--gateway-latency", "1ms", "--gateway-failure-rate", "0.3"],
    )
    .await;
    let (paid, declined) = (Order::of(1, "49.99"), Order::of(2, "50"));
    for (order, expected) in [
        (&paid, EventBody::PaymentAuthorized),
        (&declined, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }),
    ] {
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(expected));
    }
    assert_eq!(harness.states().await, ["AUTHORIZED", "DECLINED"]);
    harness.finish().await;
}
