//! What the adapter does when Stripe fails: nothing is charged or refunded twice.

use std::time::Duration;

use payment::gateway::{
    GatewayState, Lookup, Outcome, PaymentGateway as _, RefundKey,
    stripe::{ApiKey, StripeGateway},
};
use testkit::stripe::{FakeStripe, Fault, Totals};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    TIMEOUT, adapter,
    adapter::{capture, done, money, request},
};

const FAILED: [Fault; 4] =
    [Fault::LostAnswer, Fault::Error { done: true }, Fault::Error { done: false }, Fault::RateLimit];

#[tokio::test]
async fn each_call_can_be_repeated_after_each_fault() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for fault in FAILED {
        let request = request(money("20", "USD"), None);
        let totals = || fake.totals(&request.key.0.to_string());
        fake.fail_next([fault]);
        assert_failed(&gateway.prepare(&request).await, fault);
        // An error 500 is repeated for its key, and still the payment goes on.
        let reference = done(gateway.prepare(&request).await);
        fake.fail_next([fault]);
        assert_failed(&gateway.authorize(&reference).await, fault);
        done(gateway.authorize(&reference).await);
        assert_eq!(totals(), Totals { held: 2_000, ..Totals::default() }, "{fault:?}");
        fake.fail_next([fault]);
        assert_failed(&gateway.capture(&reference).await, fault);
        done(gateway.capture(&reference).await);
        assert_eq!(totals(), Totals { captured: 2_000, ..Totals::default() }, "{fault:?}");
    }
}

#[tokio::test]
async fn a_void_can_be_repeated_after_each_fault() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for fault in FAILED {
        let request = request(money("20", "USD"), None);
        let reference = done(gateway.prepare(&request).await);
        done(gateway.authorize(&reference).await);
        fake.fail_next([fault]);
        assert_failed(&gateway.void(&reference).await, fault);
        done(gateway.void(&reference).await);
        assert_eq!(fake.totals(&request.key.0.to_string()), Totals::default(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_refund_after_an_error_that_is_repeated_waits_until_the_key_is_forgotten() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for done_at_stripe in [true, false] {
        let (request, reference) = capture(&gateway).await;
        let (key, amount) = (RefundKey(Uuid::now_v7()), money("5", "USD"));
        let refund = || gateway.refund(&reference, key, amount);
        let refunded = || fake.totals(&request.key.0.to_string()).refunded;
        fake.fail_next([Fault::Error { done: done_at_stripe }]);
        assert!(matches!(refund().await, Outcome::Unknown(_)));
        if done_at_stripe {
            done(refund().await);
        } else {
            assert!(matches!(refund().await, Outcome::Unknown(_)), "no second key is tried");
            assert_eq!(refunded(), 0);
            fake.forget_keys();
        }
        for _ in 0..2 {
            done(refund().await);
            assert_eq!(refunded(), 500, "done before: {done_at_stripe}");
            fake.forget_keys();
        }
    }
}

#[tokio::test]
async fn stripe_says_how_long_to_wait() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    fake.fail_next([Fault::RateLimit]);
    let outcome = gateway.prepare(&request(money("20", "USD"), None)).await;
    assert!(matches!(outcome, Outcome::RetryLater { after: Some(wait), .. } if wait.as_secs() == 7), "{outcome:?}");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown_and_a_lookup_tells() {
    let fake = FakeStripe::start().await;
    let (gateway, hasty) = (adapter(&fake, TIMEOUT), adapter(&fake, Duration::from_millis(300)));
    let request = request(money("20", "USD"), None);
    let reference = done(gateway.prepare(&request).await);
    fake.fail_next([Fault::NoAnswer]);
    // On a machine that is too slow even for the first request, that one is late, and is answered in the same way.
    let outcome = hasty.authorize(&reference).await;
    assert!(matches!(outcome, Outcome::Unknown(_) | Outcome::RetryLater { .. }), "{outcome:?}");
    let state = done(gateway.lookup(Lookup::Reference(&reference)).await).unwrap().state;
    assert!(matches!(state, GatewayState::Authorized | GatewayState::Prepared), "{state:?}");
}

#[tokio::test]
async fn a_connection_that_is_refused_has_done_nothing_and_one_that_breaks_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: axum::http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let gateway = StripeGateway::new(&url, ApiKey::parse("sk_test_1").unwrap(), None, TIMEOUT).unwrap();
    let request = request(money("20", "USD"), None);
    let breaking = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(gateway.prepare(&request), breaking);
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    drop(listener);
    let outcome = gateway.prepare(&request).await;
    assert!(matches!(outcome, Outcome::RetryLater { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_key_that_stripe_does_not_accept_declines_nothing() {
    let fake = FakeStripe::start().await;
    let key = ApiKey::parse("sk_test_another").unwrap();
    let gateway = StripeGateway::new(&fake.url, key, None, TIMEOUT).unwrap();
    let outcome = gateway.prepare(&request(money("20", "USD"), None)).await;
    let Outcome::RetryLater { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(!reason.contains("another"), "{reason}");
}

fn assert_failed(outcome: &Outcome<impl std::fmt::Debug>, fault: Fault) {
    match fault {
        Fault::RateLimit => assert!(matches!(outcome, Outcome::RetryLater { .. }), "{outcome:?}"),
        _ => assert!(matches!(outcome, Outcome::Unknown(_)), "{fault:?}: {outcome:?}"),
    }
}
