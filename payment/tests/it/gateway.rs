//! A gateway that is slow, fails or hangs, and cancellations that cross its calls.

use std::collections::HashSet;

use payment::domain::PaymentKey;
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
    let reserved = slow.reserved();
    harness.hand_over([&reserved]).await;
    harness.gateway.reached(Point::BeforeAuthorize, 1).await;

    harness.publish(&cancelled.cancel()).await;
    assert_eq!(harness.receive().await, cancelled.event(EventBody::PaymentVoided));
    assert_eq!(harness.get("/api/v1/payments/").await.0, 200);

    harness.gateway.release(Point::BeforeAuthorize);
    harness.committed(reserved.header.id).await;
    assert_eq!(harness.receive().await, slow.event(EventBody::PaymentAuthorized));
    assert_eq!(harness.states().await, ["CANCELLED", "AUTHORIZED"]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_failing_gateway_is_asked_again_and_never_charges_twice(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for point in [Point::BeforeAuthorize, Point::AfterAuthorize] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.gateway.fail(point, 2);
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
        assert_eq!(harness.gateway.count(point), 3, "{point:?}");
        assert_eq!((harness.gateway.charges(order.saga_id), harness.gateway.holds(order.saga_id)), (1, 2_000));
        assert_eq!(harness.states().await, ["AUTHORIZED"]);
        assert_eq!(harness.gateway_calls("authorize", "failed").await, 2.0);
        assert_eq!(harness.gateway_calls("authorize", "ok").await, 1.0);
        assert_eq!(harness.gateway_calls("void", "ok").await, 0.0);
        harness.finish().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_gateway_that_hangs_counts_as_unavailable(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start_with(database, &["--gateway-timeout", "50ms"]).await;
    let order = Order::of(1, "20");
    harness.gateway.hold(Point::AfterAuthorize);
    let reserved = order.reserved();
    harness.hand_over([&reserved]).await;
    harness.gateway.reached(Point::AfterAuthorize, 2).await;
    harness.gateway.release(Point::AfterAuthorize);
    harness.committed(reserved.header.id).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!(harness.gateway.charges(order.saga_id), 1);
    harness.finish().await;
}

/// The cancellation is decided during the call to the gateway: before the gateway charges, and after.
#[rstest]
#[tokio::test]
async fn a_cancellation_overtakes_the_authorization(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for point in [Point::BeforeAuthorize, Point::AfterAuthorize] {
        let mut harness = Harness::start(database).await;
        let order = Order::of(1, "20");
        harness.gateway.hold(point);
        let reserved = order.reserved();
        harness.hand_over([&reserved]).await;
        harness.gateway.reached(point, 1).await;

        // It is answered at once, and does not wait for the gateway.
        harness.publish(&order.cancel()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
        assert_eq!(harness.states().await, ["CANCELLED"]);

        harness.gateway.release(point);
        harness.committed(reserved.header.id).await;
        harness.until_state(order.saga_id, "VOIDED").await;
        assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (0, 1), "{point:?}");
        // `PaymentAuthorized` was never published.
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
    for order in &orders {
        harness.until_state(order.saga_id, "VOIDED").await;
        assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (0, 1));
    }
    // Which of the two was decided first decides whether `PaymentAuthorized` was published; it does not decide the end.
    let mut voided = HashSet::new();
    while voided.len() < orders.len() {
        let event = harness.receive().await;
        match event.body {
            EventBody::PaymentVoided => assert!(voided.insert(event.saga_id), "{event:?}"),
            body => assert!(body == EventBody::PaymentAuthorized && !voided.contains(&event.saga_id), "{body:?}"),
        }
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_void_that_fails_is_tried_again_by_the_clock(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.gateway.fail(Point::BeforeVoid, 3);
    harness.publish(&order.cancel()).await;
    harness.until_state(order.saga_id, "VOIDED").await;
    assert_eq!(harness.gateway.holds(order.saga_id), 0);
    // A tick may have called once more before it saw the result; that is harmless.
    assert!(harness.gateway.count(Point::BeforeVoid) >= 4);
    // The first attempt failed, and its answer is lost; the repetition is answered.
    harness.publish(&order.cancel()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_void_that_was_under_way_in_a_crash_is_finished_after_it(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.publish(&order.reserved()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.gateway.hold(Point::BeforeVoid);
    harness.publish(&order.cancel()).await;
    harness.gateway.reached(Point::BeforeVoid, 1).await;
    harness.service.restart().await;
    assert_eq!(harness.states().await, ["VOIDING"]);
    harness.gateway.release(Point::BeforeVoid);
    harness.until_state(order.saga_id, "VOIDED").await;
    assert_eq!(harness.gateway.holds(order.saga_id), 0);
    harness.publish(&order.cancel()).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentVoided));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_authorization_that_was_under_way_in_a_crash_is_asked_for_again(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(1, "20");
    harness.gateway.hold(Point::AfterAuthorize);
    let reserved = order.reserved();
    harness.hand_over([&reserved]).await;
    harness.gateway.reached(Point::AfterAuthorize, 1).await;
    harness.service.restart().await;
    harness.gateway.release(Point::AfterAuthorize);
    harness.committed(reserved.header.id).await;
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!((harness.gateway.charges(order.saga_id), harness.states().await), (1, vec!["AUTHORIZED".to_owned()]));
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
    // Each of these, and each tick meanwhile, calls for the void.
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
async fn a_caller_is_told_that_the_gateway_is_unavailable(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start_with(database, &["--gateway-timeout", "50ms"]).await;
    harness.gateway.fail(Point::BeforeAuthorize, 1);
    let body = r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#;
    let (status, problem) = harness.authorize(body).await;
    assert_eq!((status, &problem["status"]), (503, &503.into()), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("the payment gateway is unavailable"), "{problem}");
    harness.gateway.hold(Point::BeforeAuthorize);
    assert_eq!(harness.authorize(body).await.0, 503);
    harness.gateway.release(Point::BeforeAuthorize);
    assert_eq!(harness.rows().await, []);
    assert_eq!(harness.authorize(body).await.0, 200);
    let payment = &harness.rows().await[0];
    let key = payment.reference.as_deref().unwrap().strip_prefix("auth-").unwrap();
    assert_eq!(harness.gateway.holds(PaymentKey(key.parse().unwrap())), 20_050);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_caller_too_many_is_refused_before_the_gateway_is_asked(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start_with(database, &["--max-waiting", "1"]).await;
    harness.gateway.hold(Point::BeforeAuthorize);
    let body = r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#;
    let (first, ()) = tokio::join!(harness.authorize(body), async {
        harness.gateway.reached(Point::BeforeAuthorize, 1).await;
        let (status, problem) = harness.authorize(body).await;
        assert_eq!((status, &problem["title"]), (503, &"Overloaded".into()));
        harness.gateway.release(Point::BeforeAuthorize);
    });
    assert_eq!(first.0, 200);
    assert_eq!((harness.gateway.count(Point::BeforeAuthorize), harness.rows().await.len()), (1, 1));
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
