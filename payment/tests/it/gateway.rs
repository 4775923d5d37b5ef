use std::collections::HashSet;

use payment::domain::PaymentKey;
use shared_events::{EventBody, FailureReason};

use crate::{harness::System, orders::Order, scripted::Point};

#[tokio::test]
async fn a_slow_gateway_holds_up_nobody_else() {
    let mut system = System::start().await;
    let (slow, cancelled) = (Order::of(1, "20"), Order::of(2, "20"));
    system.gateway.hold(Point::BeforeAuthorize);
    let reserved = slow.reserved();
    system.say(&reserved).await;
    system.gateway.reached(Point::BeforeAuthorize, 1).await;

    system.tell(&cancelled.cancel()).await;
    assert_eq!(system.hear().await, cancelled.event(EventBody::PaymentVoided));
    assert_eq!(system.get("/api/v1/payments/").await.0, 200);

    system.gateway.release(Point::BeforeAuthorize);
    system.committed(reserved.header.id).await;
    assert_eq!(system.hear().await, slow.event(EventBody::PaymentAuthorized));
    assert_eq!(system.states().await, ["CANCELLED", "AUTHORIZED"]);
    system.finish().await;
}

#[tokio::test]
async fn a_failing_gateway_is_asked_again_and_never_charges_twice() {
    for point in [Point::BeforeAuthorize, Point::AfterAuthorize] {
        let mut system = System::start().await;
        let order = Order::of(1, "20");
        system.gateway.fail(point, 2);
        system.tell(&order.reserved()).await;
        assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
        assert_eq!(system.gateway.count(point), 3, "{point:?}");
        assert_eq!((system.gateway.charges(order.saga_id), system.gateway.holds(order.saga_id)), (1, 2_000));
        assert_eq!(system.states().await, ["AUTHORIZED"]);
        system.finish().await;
    }
}

#[tokio::test]
async fn a_gateway_that_hangs_counts_as_away() {
    let mut system = System::start_with(&["--gateway-timeout", "50ms"]).await;
    let order = Order::of(1, "20");
    system.gateway.hold(Point::AfterAuthorize);
    let reserved = order.reserved();
    system.say(&reserved).await;
    system.gateway.reached(Point::AfterAuthorize, 2).await;
    system.gateway.release(Point::AfterAuthorize);
    system.committed(reserved.header.id).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!(system.gateway.charges(order.saga_id), 1);
    system.finish().await;
}

/// The cancellation is decided while the gateway is asked: before it charges, and after.
#[tokio::test]
async fn a_cancellation_overtakes_the_authorization() {
    for point in [Point::BeforeAuthorize, Point::AfterAuthorize] {
        let mut system = System::start().await;
        let order = Order::of(1, "20");
        system.gateway.hold(point);
        let reserved = order.reserved();
        system.say(&reserved).await;
        system.gateway.reached(point, 1).await;

        // It is answered at once, and does not wait for the gateway.
        system.tell(&order.cancel()).await;
        assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
        assert_eq!(system.states().await, ["CANCELLED"]);

        system.gateway.release(point);
        system.committed(reserved.header.id).await;
        system.becomes(order.saga_id, "VOIDED").await;
        assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (0, 1), "{point:?}");
        // And nobody was told that it was authorized.
        system.finish().await;
    }
}

/// The cancellation is decided after the authorization, and is answered only once the gateway has voided.
#[tokio::test]
async fn a_cancellation_follows_the_authorization() {
    for point in [Point::BeforeVoid, Point::AfterVoid] {
        let mut system = System::start().await;
        let order = Order::of(1, "20");
        system.tell(&order.reserved()).await;
        assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
        system.gateway.hold(point);
        system.tell(&order.cancel()).await;
        system.gateway.reached(point, 1).await;
        assert_eq!(system.states().await, ["VOIDING"]);
        let (_, body) = system.get("/api/v1/payments/1").await;
        assert_eq!((&body["status"], &body["authorized"]), (&"VOIDING".into(), &false.into()));

        // A repetition of what was reserved meets the void half way.
        system.tell(&order.reserved()).await;
        system.gateway.release(point);
        assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
        assert_eq!(system.states().await, ["VOIDED"]);
        assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (0, 1), "{point:?}");
        system.finish().await;
    }
}

/// Both in one batch, in either order, many times.
#[tokio::test]
async fn a_cancellation_and_a_reservation_arrive_together() {
    let mut system = System::start().await;
    let orders: Vec<Order> = (1..=100).map(|id| Order::of(id, "20")).collect();
    let messages = orders.iter().flat_map(|order| match order.details.order_id.0 % 2 {
        0 => [order.reserved(), order.cancel()],
        _ => [order.cancel(), order.reserved()],
    });
    let messages: Vec<_> = messages.collect();
    system.say_all(&messages).await;
    for order in &orders {
        system.becomes(order.saga_id, "VOIDED").await;
        assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (0, 1));
    }
    // Whether a payment was said to be authorized depends on which of the two was decided first; the end does not.
    let mut voided = HashSet::new();
    while voided.len() < orders.len() {
        let event = system.hear().await;
        match event.body {
            EventBody::PaymentVoided => assert!(voided.insert(event.saga_id), "{event:?}"),
            body => assert!(body == EventBody::PaymentAuthorized && !voided.contains(&event.saga_id), "{body:?}"),
        }
    }
    system.finish().await;
}

#[tokio::test]
async fn a_void_that_fails_is_tried_again_by_the_clock() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.gateway.fail(Point::BeforeVoid, 3);
    system.tell(&order.cancel()).await;
    system.becomes(order.saga_id, "VOIDED").await;
    assert_eq!(system.gateway.holds(order.saga_id), 0);
    // The clock may have asked once more before it saw the end; that is harmless.
    assert!(system.gateway.count(Point::BeforeVoid) >= 4);
    // The answer that was lost with the first try is given to the repetition.
    system.tell(&order.cancel()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    system.finish().await;
}

#[tokio::test]
async fn a_void_that_was_under_way_in_a_crash_is_finished_after_it() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.gateway.hold(Point::BeforeVoid);
    system.tell(&order.cancel()).await;
    system.gateway.reached(Point::BeforeVoid, 1).await;
    system.restart().await;
    assert_eq!(system.states().await, ["VOIDING"]);
    system.gateway.release(Point::BeforeVoid);
    system.becomes(order.saga_id, "VOIDED").await;
    assert_eq!(system.gateway.holds(order.saga_id), 0);
    system.tell(&order.cancel()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    system.finish().await;
}

#[tokio::test]
async fn an_authorization_that_was_under_way_in_a_crash_is_asked_for_again() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    system.gateway.hold(Point::AfterAuthorize);
    let reserved = order.reserved();
    system.say(&reserved).await;
    system.gateway.reached(Point::AfterAuthorize, 1).await;
    system.restart().await;
    system.gateway.release(Point::AfterAuthorize);
    system.committed(reserved.header.id).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!((system.gateway.charges(order.saga_id), system.states().await), (1, vec!["AUTHORIZED".to_owned()]));
    system.finish().await;
}

#[tokio::test]
async fn questions_to_void_do_not_heap_up() {
    let mut system = System::start().await;
    let order = Order::of(1, "20");
    system.tell(&order.reserved()).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.gateway.hold(Point::BeforeVoid);
    // Each of these, and each look of the clock meanwhile, asks for the void.
    for _ in 0..20 {
        system.tell(&order.cancel()).await;
    }
    // What each of them left to be asked is behind the engine once something later is.
    let later = Order::of(2, "20");
    system.tell(&later.cancel()).await;
    assert_eq!(system.hear().await, later.event(EventBody::PaymentVoided));
    system.gateway.reached(Point::BeforeVoid, 1).await;
    assert_eq!(system.gateway.count(Point::BeforeVoid), 1);
    system.gateway.release(Point::BeforeVoid);
    assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
    system.finish().await;
}

#[tokio::test]
async fn a_caller_is_told_that_the_gateway_is_away() {
    let system = System::start_with(&["--gateway-timeout", "50ms"]).await;
    system.gateway.fail(Point::BeforeAuthorize, 1);
    let body = r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#;
    let (status, problem) = system.post(body).await;
    assert_eq!((status, &problem["status"]), (503, &503.into()), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("the payment gateway is unavailable"), "{problem}");
    system.gateway.hold(Point::BeforeAuthorize);
    assert_eq!(system.post(body).await.0, 503);
    system.gateway.release(Point::BeforeAuthorize);
    assert_eq!(system.rows().await, []);
    assert_eq!(system.post(body).await.0, 200);
    let payment = &system.rows().await[0];
    let key = payment.reference.as_deref().unwrap().strip_prefix("auth-").unwrap();
    assert_eq!(system.gateway.holds(PaymentKey(key.parse().unwrap())), 20_050);
    system.finish().await;
}

#[tokio::test]
async fn a_caller_too_many_is_refused_before_the_gateway_is_asked() {
    let system = System::start_with(&["--max-waiting", "1"]).await;
    system.gateway.hold(Point::BeforeAuthorize);
    let body = r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#;
    let (first, ()) = tokio::join!(system.post(body), async {
        system.gateway.reached(Point::BeforeAuthorize, 1).await;
        let (status, problem) = system.post(body).await;
        assert_eq!((status, &problem["title"]), (503, &"Overloaded".into()));
        system.gateway.release(Point::BeforeAuthorize);
    });
    assert_eq!(first.0, 200);
    assert_eq!((system.gateway.count(Point::BeforeAuthorize), system.rows().await.len()), (1, 1));
    system.finish().await;
}

#[tokio::test]
async fn the_simulated_gateway_is_as_its_settings_say() {
    let mut system = System::start_simulated(&[
        "--payment-limit",
        "50",
        "--gateway-latency",
        "1ms",
        "--gateway-failure-rate",
        "0.3",
    ])
    .await;
    let (paid, declined) = (Order::of(1, "49.99"), Order::of(2, "50"));
    for (order, said) in [
        (&paid, EventBody::PaymentAuthorized),
        (&declined, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined }),
    ] {
        system.tell(&order.reserved()).await;
        assert_eq!(system.hear().await, order.event(said));
    }
    assert_eq!(system.states().await, ["AUTHORIZED", "DECLINED"]);
    system.finish().await;
}
