//! What the adapter does while Stripe works as it should.

use async_trait::async_trait;
use payment::{
    domain::PaymentKey,
    gateway::{
        DeclineCode, GatewayState, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference, RefundKey,
        conformance::{GatewayUnderTest, Moved, check_all},
        stripe::{ApiKey, StripeGateway},
    },
};
use shared_events::{Money, OrderId, PaymentMethod};
use testkit::stripe::{FakeStripe, Fault, Totals};
use uuid::Uuid;

use super::{TIMEOUT, adapter};

pub(super) fn money(amount: &str, currency: &str) -> Money {
    Money::parse(amount, currency.parse().unwrap()).unwrap()
}

pub(super) fn request(amount: Money, method: Option<&str>) -> PaymentRequest {
    let method = method.map(|method| PaymentMethod::parse(method).unwrap());
    PaymentRequest { key: PaymentKey(Uuid::now_v7()), order_id: OrderId(1), amount, method }
}

pub(super) fn done<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        other => panic!("expected to be done, but got {other:?}"),
    }
}

pub(super) fn code<T: std::fmt::Debug>(outcome: Outcome<T>) -> DeclineCode {
    match outcome {
        Outcome::Declined(decline) => decline.code,
        other => panic!("expected to be declined, but got {other:?}"),
    }
}

/// Prepares a payment of 20 dollars, authorizes and captures it.
pub(super) async fn capture(gateway: &StripeGateway) -> (PaymentRequest, Reference) {
    let request = request(money("20", "USD"), None);
    let reference = done(gateway.prepare(&request).await);
    done(gateway.authorize(&reference).await);
    done(gateway.capture(&reference).await);
    (request, reference)
}

struct UnderTest {
    fake: FakeStripe,
    gateway: StripeGateway,
}

#[async_trait]
impl GatewayUnderTest for UnderTest {
    fn gateway(&self) -> &dyn PaymentGateway {
        &self.gateway
    }

    fn accepted(&self) -> Money {
        money("20", "USD")
    }

    fn refused(&self) -> Money {
        money("1000", "USD")
    }

    async fn lose_next_answer(&self) {
        self.fake.fail_next([Fault::LostAnswer]);
    }

    async fn forget_keys(&self) {
        self.fake.forget_keys();
    }

    async fn moved(&self, key: PaymentKey) -> Moved {
        let Totals { held, captured, refunded } = self.fake.totals(&key.0.to_string());
        Moved { held, captured, refunded }
    }
}

#[tokio::test]
async fn it_passes_the_tests_of_all_gateways() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    check_all(&UnderTest { fake, gateway }).await;
}

#[tokio::test]
async fn each_means_of_payment_is_what_stripe_says() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for (method, declined) in [
        (None, None),
        (Some("pm_card_visa"), None),
        (Some("pm_card_chargeDeclined"), Some(DeclineCode::Refused)),
        (Some("pm_card_authenticationRequired"), Some(DeclineCode::ActionRequired)),
    ] {
        let request = request(money("20", "USD"), method);
        let reference = done(gateway.prepare(&request).await);
        for _ in 0..2 {
            match (gateway.authorize(&reference).await, declined) {
                (Outcome::Done(()), None) => {}
                (outcome, declined) => assert_eq!(Some(code(outcome)), declined, "{method:?}"),
            }
        }
        let held = if declined.is_none() { 2_000 } else { 0 };
        assert_eq!(fake.totals(&request.key.0.to_string()), Totals { held, ..Totals::default() }, "{method:?}");
        let found = done(gateway.lookup(Lookup::Reference(&reference)).await).unwrap();
        assert_eq!(found.state == GatewayState::Authorized, declined.is_none(), "{method:?}: {found:?}");
    }
    // One that Stripe does not have, and an order that names none where there is no default.
    assert_eq!(code(gateway.prepare(&request(money("20", "USD"), Some("pm_unknown"))).await), DeclineCode::Refused);
    let gateway = StripeGateway::new(&fake.url, ApiKey::parse(super::API_KEY).unwrap(), None, TIMEOUT).unwrap();
    let reference = done(gateway.prepare(&request(money("20", "USD"), None)).await);
    assert_eq!(code(gateway.authorize(&reference).await), DeclineCode::Refused);
}

#[tokio::test]
async fn amounts_are_in_the_units_of_stripe() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for (amount, currency, units) in [("500", "JPY", 500), ("5.12", "KWD", 5_120), ("5", "ISK", 500)] {
        let request = request(money(amount, currency), None);
        let reference = done(gateway.prepare(&request).await);
        done(gateway.authorize(&reference).await);
        assert_eq!(fake.totals(&request.key.0.to_string()).held, units, "{amount} {currency}");
        assert_eq!(done(gateway.lookup(Lookup::Reference(&reference)).await).unwrap().amount, request.amount);
    }
    let intents = fake.intents();
    assert_eq!(code(gateway.prepare(&request(money("5.124", "KWD"), None)).await), DeclineCode::Refused);
    assert_eq!(fake.intents(), intents, "an amount that would have to be rounded is not sent");
}

#[tokio::test]
async fn a_payment_is_found_by_its_key_before_and_after_stripe_has_indexed_it() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    let keys: Vec<_> = (0..7).map(|_| request(money("20", "USD"), None)).collect();
    for request in &keys {
        done(gateway.prepare(request).await);
    }
    for _ in 0..2 {
        for request in &keys {
            let found = done(gateway.lookup(Lookup::Key(request.key)).await).unwrap();
            assert_eq!((found.state, found.amount), (GatewayState::Prepared, request.amount));
        }
        fake.index();
    }
}

#[tokio::test]
async fn an_authorization_that_has_expired_is_not_captured() {
    for cancelled in [false, true] {
        let fake = FakeStripe::start().await;
        let gateway = adapter(&fake, TIMEOUT);
        let request = request(money("20", "USD"), None);
        let reference = done(gateway.prepare(&request).await);
        done(gateway.authorize(&reference).await);
        fake.expire_authorizations(cancelled);
        assert_eq!(code(gateway.capture(&reference).await), DeclineCode::Expired);
        assert_eq!(fake.totals(&request.key.0.to_string()).captured, 0);
        done(gateway.void(&reference).await);
    }
}

#[tokio::test]
async fn a_refund_that_fails_later_is_declined_and_can_be_requested_anew() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    let (request, reference) = capture(&gateway).await;
    let [key, another] = [1, 2].map(|number| RefundKey(Uuid::from_u128(number)));
    done(gateway.refund(&reference, key, request.amount).await);
    fake.fail_last_refund();
    assert_eq!(code(gateway.refund(&reference, key, request.amount).await), DeclineCode::Refused);
    done(gateway.refund(&reference, another, request.amount).await);
    let refunds = done(gateway.lookup(Lookup::Reference(&reference)).await).unwrap().refunds;
    assert_eq!(refunds.iter().map(|refund| refund.key).collect::<Vec<_>>(), [another]);
}

#[tokio::test]
async fn a_reference_that_is_none_of_stripe_asks_for_nothing() {
    let fake = FakeStripe::start().await;
    let gateway = adapter(&fake, TIMEOUT);
    for reference in ["", "pi_", "pi_1/../../refunds", "pi_1?x=y", "sim-1"] {
        let reference = Reference(reference.to_owned());
        assert_eq!(code(gateway.capture(&reference).await), DeclineCode::NotFound, "{reference}");
        assert_eq!(done(gateway.lookup(Lookup::Reference(&reference)).await), None, "{reference}");
    }
}
