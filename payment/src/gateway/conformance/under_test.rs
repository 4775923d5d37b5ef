use async_trait::async_trait;
use futures::future::join_all;
use shared_events::{Money, OrderId};
use uuid::Uuid;

use super::super::{GatewayPayment, GatewayState, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference};
use crate::domain::PaymentKey;

/// A gateway with the levers that the checks need.
#[async_trait]
pub trait GatewayUnderTest: Send + Sync {
    /// Returns the gateway.
    fn gateway(&self) -> &dyn PaymentGateway;

    /// Returns an amount that is authorized. At least 10 minor units.
    fn accepted(&self) -> Money;

    /// Returns an amount that is declined, in the same currency.
    fn refused(&self) -> Money;

    /// The next call is carried out, and its answer is lost.
    async fn lose_next_answer(&self);

    /// The gateway forgets all idempotency keys that it was given so far.
    async fn forget_keys(&self);

    /// Returns what was moved for a payment, from the provider's books and not through the adapter.
    async fn moved(&self, key: PaymentKey) -> Moved;
}

/// What was moved for a payment, in minor units. If a key was charged twice, the sum of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Held, and neither taken nor given up.
    pub held: i64,
    /// Taken.
    pub captured: i64,
    /// Given back of what was taken.
    pub refunded: i64,
}

/// How many calls run at the same time in the checks of concurrency.
pub(super) const AT_ONCE: usize = 8;

/// A payment of a check.
pub(super) struct Case<'a> {
    pub(super) under_test: &'a dyn GatewayUnderTest,
    pub(super) request: PaymentRequest,
    /// By which it was prepared.
    pub(super) reference: Reference,
    /// By which it is known now: once it is captured, by what the capture returned.
    pub(super) current: Reference,
}

impl<'a> Case<'a> {
    /// Prepares a payment of this amount.
    pub(super) async fn prepared(under_test: &'a dyn GatewayUnderTest, amount: Money) -> Self {
        let key = PaymentKey(Uuid::now_v7());
        let request = PaymentRequest { key, order_id: OrderId(1), amount, method: None };
        let reference = done(under_test.gateway().prepare(&request).await, "prepare");
        Self { under_test, request, current: reference.clone(), reference }
    }

    /// Prepares a payment and authorizes it.
    pub(super) async fn authorized(under_test: &'a dyn GatewayUnderTest) -> Self {
        let case = Self::prepared(under_test, under_test.accepted()).await;
        done(case.gateway().authorize(&case.reference).await, "authorize");
        case
    }

    /// Prepares a payment, authorizes it and captures it.
    pub(super) async fn captured(under_test: &'a dyn GatewayUnderTest) -> Self {
        let mut case = Self::authorized(under_test).await;
        case.current = done(case.gateway().capture(&case.reference).await, "capture");
        case
    }

    pub(super) fn gateway(&self) -> &'a dyn PaymentGateway {
        self.under_test.gateway()
    }

    pub(super) fn units(&self) -> i64 {
        self.request.amount.minor_units()
    }

    pub(super) fn part(&self, minor_units: i64) -> Money {
        Money::from_minor_units(minor_units, self.request.amount.currency()).expect("a part is an amount")
    }

    /// Looks the payment up by its references, and asserts that it is found and complete.
    pub(super) async fn found(&self) -> GatewayPayment {
        let found = self.found_by(&self.current).await;
        assert_eq!(found.amount, self.request.amount, "of the payment found");
        if found.state != GatewayState::Captured {
            assert_eq!(found.reference, self.reference, "only a capture changes the reference");
        }
        for reference in [&self.reference, &found.reference] {
            assert_eq!(self.found_by(reference).await, found, "it is found by each of its references");
        }
        found
    }

    async fn found_by(&self, reference: &Reference) -> GatewayPayment {
        let found = done(self.gateway().lookup(Lookup::Reference(reference)).await, "lookup by reference");
        found.expect("the payment is found by its reference")
    }

    pub(super) async fn assert_state(&self, state: &GatewayState, what: &str) {
        assert_eq!(self.found().await.state, *state, "{what}");
    }

    pub(super) async fn assert_moved(&self, held: i64, captured: i64, refunded: i64, what: &str) {
        let moved = self.under_test.moved(self.request.key).await;
        assert_eq!(moved, Moved { held, captured, refunded }, "{what}");
    }

    /// Makes the same call several times at once.
    pub(super) async fn at_once<T>(&self, call: impl AsyncFn(&Self) -> Outcome<T>) -> Vec<Outcome<T>> {
        join_all((0..AT_ONCE).map(|_| call(self))).await
    }
}

/// Returns what was done.
pub(super) fn done<T: std::fmt::Debug>(outcome: Outcome<T>, what: &str) -> T {
    match outcome {
        Outcome::Done(value) => value,
        other => panic!("{what}: expected to be done, but got {other:?}"),
    }
}
