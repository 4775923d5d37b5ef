//! The whole service at the fake: orders are paid, declined and voided, and webhooks are received.

use std::time::SystemTime;

use payment::{domain::RefundState, gateway::stripe::WebhookSecret};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::{EventBody, FailureReason, Money, PaymentMethod, RefundDetails, RefundFailure, RefundId};
use tempfile::TempDir;
use testkit::{
    service::{
        Answer,
        DatabaseKind::{self, Postgres, Sqlite},
        answer, until,
    },
    stripe::{API_KEY, FakeStripe, Fault, Totals},
};
use uuid::Uuid;

use crate::{harness::Harness, orders::Order};

const SECRET: &str = "whsec_test";
const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };

struct Service {
    harness: Harness,
    fake: FakeStripe,
    _files: TempDir,
}

impl Service {
    async fn start(database: DatabaseKind, flags: &[&str]) -> Self {
        let (fake, files) = (FakeStripe::start().await, tempfile::tempdir().unwrap());
        let file = |name: &str, content: &str| {
            std::fs::write(files.path().join(name), content).unwrap();
            files.path().join(name).display().to_string()
        };
        let (key, secret, url) = (file("key", API_KEY), file("secret", SECRET), fake.url.to_string());
        let stripe = ["--payment-gateway=stripe", "--stripe-api-key-file", &key, "--stripe-url", &url];
        let webhooks = ["--stripe-webhook-secret-file", &secret];
        let flags: Vec<_> = stripe.iter().chain(&webhooks).chain(flags).copied().collect();
        let harness = Harness::start_simulated(database, &flags).await;
        Self { harness, fake, _files: files }
    }

    fn totals(&self, order: &Order) -> Totals {
        self.fake.totals(&order.saga_id.0.to_string())
    }

    /// Sends a webhook with this signature.
    async fn webhook(&self, signature: &str, body: String) -> Answer {
        let request = self.harness.service.http.request(Method::POST, "/webhooks/stripe");
        answer(request.header("Stripe-Signature", signature).body(body)).await
    }

    /// Sends a webhook as Stripe does, and asserts that it is received.
    async fn signed_webhook(&self, event: &Value) {
        let body = event.to_string();
        let answer = self.webhook(&sign(now(), &body), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn order(id: i64, method: Option<&str>) -> Order {
    let mut order = Order::of(id, "20");
    order.details.payment_method = method.map(|method| PaymentMethod::parse(method).unwrap());
    order
}

/// The order as the events about its payment have it.
fn without_method(order: &Order) -> Order {
    let mut order = order.clone();
    order.details.payment_method = None;
    order
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn sign(seconds: i64, body: &str) -> String {
    WebhookSecret::new(SECRET.to_owned()).unwrap().sign(seconds, body.as_bytes())
}

#[rstest]
#[tokio::test]
async fn orders_are_paid_declined_and_voided(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &[]).await;
    for (id, method, expected) in [
        (1, Some("pm_card_visa"), EventBody::PaymentAuthorized),
        (2, Some("pm_card_chargeDeclined"), FAILED),
        (3, Some("pm_card_authenticationRequired"), FAILED),
        (4, Some("pm_of_another_account"), FAILED),
        (5, None, FAILED),
    ] {
        let order = order(id, method);
        service.harness.publish(&order.reserved()).await;
        assert_eq!(service.harness.receive().await.body, expected, "{method:?}");
        let held = if expected == EventBody::PaymentAuthorized { 2_000 } else { 0 };
        assert_eq!(service.totals(&order), Totals { held, ..Totals::default() }, "{method:?}");
        if held > 0 {
            service.harness.publish(&order.cancel()).await;
            let voided = without_method(&order).event(EventBody::PaymentVoided);
            assert_eq!(without_method_of(service.harness.receive().await), voided);
            assert_eq!(service.totals(&order), Totals::default());
        }
    }
    assert_eq!(service.harness.states().await, ["VOIDED", "DECLINED", "DECLINED", "DECLINED", "DECLINED"]);
    service.harness.finish().await;
}

fn without_method_of(mut event: shared_events::Event) -> shared_events::Event {
    event.order.payment_method = None;
    event
}

#[rstest]
#[tokio::test]
async fn nothing_is_charged_twice_whatever_fails(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &[]).await;
    // For the preparation, and for the authorization.
    for (id, faults) in [
        (1, [Fault::LostAnswer, Fault::LostAnswer]),
        (2, [Fault::Error { done: true }, Fault::Error { done: true }]),
        (3, [Fault::Error { done: false }, Fault::LostAnswer]),
        (4, [Fault::LostAnswer, Fault::Error { done: false }]),
    ] {
        let order = order(id, Some("pm_card_visa"));
        service.fake.fail_next(faults);
        service.harness.publish(&order.reserved()).await;
        assert_eq!(service.harness.receive().await.body, EventBody::PaymentAuthorized, "{faults:?}");
        assert_eq!(service.totals(&order), Totals { held: 2_000, ..Totals::default() }, "{faults:?}");
    }
    service.harness.finish().await;
}

/// The answer to the authorization never comes, and the service would wait for it for hours.
#[rstest]
#[tokio::test]
async fn after_a_webhook_stripe_is_asked_soon(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &["--gateway-timeout=2h", "--drain-timeout=1s"]).await;
    let order = order(1, Some("pm_card_visa"));
    service.fake.fail_next([Fault::None, Fault::NoAnswer]);
    service.harness.publish(&order.reserved()).await;
    until("something is held", async || service.totals(&order).held > 0).await;
    for event in service.fake.events().iter().rev() {
        service.signed_webhook(event).await;
    }
    assert_eq!(service.harness.receive().await.body, EventBody::PaymentAuthorized);
    service.harness.finish().await;
}

/// The same for a capture.
#[rstest]
#[tokio::test]
async fn after_a_webhook_stripe_is_asked_soon_about_a_capture(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &["--gateway-timeout=2h", "--drain-timeout=1s"]).await;
    let order = order(1, Some("pm_card_visa"));
    service.harness.publish(&order.reserved()).await;
    assert_eq!(service.harness.receive().await.body, EventBody::PaymentAuthorized);
    service.fake.fail_next([Fault::NoAnswer]);
    service.harness.publish(&order.confirmed()).await;
    until("it is captured", async || service.totals(&order).captured == 2_000).await;
    assert_eq!(service.harness.states().await, ["CAPTURING"]);
    for event in service.fake.events().iter().rev() {
        service.signed_webhook(event).await;
    }
    assert_eq!(service.harness.receive().await.body, EventBody::PaymentCaptured);
    assert_eq!(service.totals(&order), Totals { captured: 2_000, ..Totals::default() });
    service.harness.finish().await;
}

fn refund(id: u128, amount: &str) -> RefundDetails {
    let amount = Money::parse(amount, "USD".parse().unwrap()).unwrap();
    RefundDetails { refund_id: RefundId(Uuid::from_u128(id)), amount, restock: None }
}

impl Service {
    /// Authorizes and captures the payment of an order.
    async fn captured(&mut self) -> Order {
        let order = order(1, Some("pm_card_visa"));
        self.harness.publish(&order.reserved()).await;
        assert_eq!(self.harness.receive().await.body, EventBody::PaymentAuthorized);
        self.harness.publish(&order.confirmed()).await;
        assert_eq!(self.harness.receive().await.body, EventBody::PaymentCaptured);
        order
    }

    async fn request(&mut self, order: &Order, refund: &RefundDetails) {
        self.harness.publish(&order.message(EventBody::RefundRequested { refund: refund.clone() })).await;
    }

    /// The webhook about the refund that has failed last.
    fn failed_webhook(&self) -> Value {
        let events = self.fake.events();
        events.into_iter().rfind(|event| event["type"] == "refund.failed").unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn a_refund_that_fails_after_it_was_accepted_is_told(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &[]).await;
    let order = service.captured().await;
    let (first, second) = (refund(1, "15"), refund(2, "20"));
    let refunded = |refund: &RefundDetails| EventBody::PaymentRefunded { refund: refund.clone() };
    let reversed = EventBody::PaymentRefundFailed { refund: first.clone(), reason: RefundFailure::Reversed };
    service.request(&order, &first).await;
    assert_eq!(service.harness.receive().await.body, refunded(&first));
    service.fake.fail_last_refund();
    let event = service.failed_webhook();
    // While Stripe does not answer, it is to send the webhook again.
    service.fake.set_unavailable(true);
    let body = event.to_string();
    assert_eq!(service.webhook(&sign(now(), &body), body).await.status, 503);
    service.fake.set_unavailable(false);
    // A repetition says so again, because order may have missed it.
    for _ in 0..2 {
        service.signed_webhook(&event).await;
        let received = without_method_of(service.harness.receive().await);
        assert_eq!(received, without_method(&order).event(reversed.clone()));
    }
    let row = service.harness.row(order.saga_id).await.unwrap();
    let detail = Some("expired_or_canceled_card".to_owned());
    assert_eq!(row.refunds[0].state, RefundState::Failed { reason: RefundFailure::Reversed, detail });
    // Inventory may have missed that it was accepted, so a repeated request is answered with both.
    service.request(&order, &first).await;
    for expected in [refunded(&first), reversed] {
        assert_eq!(service.harness.receive().await.body, expected);
    }
    // Its amount can be refunded again.
    service.request(&order, &second).await;
    assert_eq!(service.harness.receive().await.body, refunded(&second));
    assert_eq!(service.totals(&order), Totals { captured: 2_000, refunded: 2_000, held: 0 });
    service.harness.finish().await;
}

/// The answer that the refund is accepted never comes.
#[rstest]
#[tokio::test]
async fn a_refund_that_fails_before_its_answer_is_told(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &["--gateway-timeout=2h", "--drain-timeout=1s"]).await;
    let order = service.captured().await;
    let refund = refund(1, "20");
    service.fake.fail_next([Fault::NoAnswer]);
    service.request(&order, &refund).await;
    until("it is refunded", async || service.totals(&order).refunded == 2_000).await;
    service.fake.fail_last_refund();
    let event = service.failed_webhook();
    service.signed_webhook(&event).await;
    let failed = EventBody::PaymentRefundFailed { refund, reason: RefundFailure::Declined };
    assert_eq!(service.harness.receive().await.body, failed);
    service.harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn webhooks_in_any_order_and_twice_are_harmless(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut service = Service::start(database, &[]).await;
    let order = order(1, Some("pm_card_visa"));
    service.harness.publish(&order.reserved()).await;
    assert_eq!(service.harness.receive().await.body, EventBody::PaymentAuthorized);
    let of_others = [
        json!({"data": {"object": {"object": "customer", "id": "cus_1"}}}),
        json!({"data": {"object": {"object": "payment_intent", "id": "pi_of_another_system"}}}),
    ];
    for _ in 0..2 {
        for event in service.fake.events().iter().rev().chain(&of_others) {
            service.signed_webhook(event).await;
        }
    }
    assert_eq!(service.harness.states().await, ["AUTHORIZED"]);
    assert_eq!(service.totals(&order), Totals { held: 2_000, ..Totals::default() });
    service.harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn only_webhooks_with_a_fresh_signature_are_received(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let service = Service::start(database, &[]).await;
    let body = json!({"data": {"object": {"object": "payment_intent", "id": "pi_1"}}}).to_string();
    let fresh = sign(now(), &body);
    for (signature, body) in [
        ("", body.as_str()),
        ("t=1,v1=00", &body),
        (&sign(now() - 3_600, &body), &body),
        (&fresh, &body.replace("pi_1", "pi_2")),
        (&sign(now(), "no event"), "no event"),
    ] {
        let answer = service.webhook(signature, body.to_owned()).await;
        assert_eq!((answer.status, answer.body["status"].as_u64()), (400, Some(400)), "{signature} {answer:?}");
        assert!(!answer.text.contains(SECRET));
    }
    assert_eq!(service.webhook(&fresh, body).await.status, 200);
    service.harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_a_secret_no_webhooks_are_received(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start_simulated(database, &[]).await;
    let request = harness.service.http.request(Method::POST, "/webhooks/stripe");
    let answer = answer(request.header("Stripe-Signature", sign(now(), "{}")).body("{}")).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    harness.finish().await;
}
