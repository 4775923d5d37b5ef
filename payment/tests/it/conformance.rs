//! The gateways that are here pass the tests of all gateways.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use payment::{
    domain::PaymentKey,
    gateway::{
        FailureRate, GatewayPayment, GatewayState, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference,
        RefundKey, SimulatedGateway,
        conformance::{GatewayUnderTest, Moved, check_all},
    },
};
use shared_events::Money;

use crate::scripted::ScriptedGateway;

fn dollars(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

#[tokio::test]
async fn the_scripted_gateway() {
    check_all(&Scripted(ScriptedGateway::new())).await;
}

#[tokio::test]
async fn the_simulated_gateway() {
    for latency in [Duration::ZERO, Duration::from_micros(1)] {
        let gateway = SimulatedGateway::new(1000, latency, FailureRate::default());
        check_all(&Simulated(LosesAnswers { gateway, next: AtomicBool::new(false) })).await;
    }
}

struct Scripted(ScriptedGateway);

#[async_trait]
impl GatewayUnderTest for Scripted {
    fn gateway(&self) -> &dyn PaymentGateway {
        &self.0
    }

    fn accepted(&self) -> Money {
        dollars("20")
    }

    fn refused(&self) -> Money {
        dollars("1000")
    }

    async fn lose_next_answer(&self) {
        self.0.lose_next_answer();
    }

    async fn forget_keys(&self) {
        self.0.forget_keys();
    }

    async fn moved(&self, key: PaymentKey) -> Moved {
        self.0.moved(key)
    }
}

struct Simulated(LosesAnswers);

#[async_trait]
impl GatewayUnderTest for Simulated {
    fn gateway(&self) -> &dyn PaymentGateway {
        &self.0
    }

    fn accepted(&self) -> Money {
        dollars("20")
    }

    fn refused(&self) -> Money {
        dollars("1000")
    }

    async fn lose_next_answer(&self) {
        self.0.next.store(true, Ordering::Relaxed);
    }

    /// It keeps no keys: its references follow from them.
    async fn forget_keys(&self) {}

    /// It has no books other than what it remembers.
    async fn moved(&self, key: PaymentKey) -> Moved {
        let Outcome::Done(found) = self.0.gateway.lookup(Lookup::Key(key)).await else { panic!("it does not fail") };
        let Some(payment) = found else { return Moved::default() };
        let units = |state| if payment.state == state { payment.amount.minor_units() } else { 0 };
        Moved {
            held: units(GatewayState::Authorized),
            captured: units(GatewayState::Captured),
            refunded: payment.refunds.iter().map(|refund| refund.amount.minor_units()).sum(),
        }
    }
}

/// The simulated gateway, whose next answer can be lost.
#[derive(Debug)]
struct LosesAnswers {
    gateway: SimulatedGateway,
    next: AtomicBool,
}

impl LosesAnswers {
    fn lose<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        if self.next.swap(false, Ordering::Relaxed) { Outcome::Unknown("lost".to_owned()) } else { outcome }
    }
}

#[async_trait]
impl PaymentGateway for LosesAnswers {
    async fn prepare(&self, request: &PaymentRequest) -> Outcome<Reference> {
        self.lose(self.gateway.prepare(request).await)
    }

    async fn authorize(&self, reference: &Reference) -> Outcome<()> {
        self.lose(self.gateway.authorize(reference).await)
    }

    async fn capture(&self, reference: &Reference) -> Outcome<Reference> {
        self.lose(self.gateway.capture(reference).await)
    }

    async fn void(&self, reference: &Reference) -> Outcome<()> {
        self.lose(self.gateway.void(reference).await)
    }

    async fn refund(&self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()> {
        self.lose(self.gateway.refund(reference, key, amount).await)
    }

    async fn lookup(&self, payment: Lookup<'_>) -> Outcome<Option<GatewayPayment>> {
        self.lose(self.gateway.lookup(payment).await)
    }
}
