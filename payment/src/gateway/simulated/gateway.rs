use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use shared_events::Money;

use super::{
    super::{
        Decline, DeclineCode, GatewayPayment, Lookup, Outcome, PaymentGateway, PaymentRequest, Reference, RefundKey,
    },
    conditions::{Conditions, FailureRate, chance},
    ledger::Ledger,
    reference::Parts,
};

/// A gateway that moves no money: it authorizes amounts below a limit and declines the others.
///
/// Its reference says the key, the amount and whether it is captured, and its answers follow from these and from what
/// it remembers about the last payments. With no latency it answers at once, without yielding. Of the calls that fail,
/// every other one is carried out, and only its answer is lost.
#[derive(Debug)]
pub struct SimulatedGateway {
    limit: u64,
    conditions: Mutex<Conditions>,
    /// The number of calls so far. It is the index into the fixed sequence that determines which calls fail.
    calls: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl SimulatedGateway {
    /// Creates a gateway that authorizes amounts below `limit`, in whole major units whatever the currency, answers
    /// after `latency`, and fails in `failure_rate` of all calls.
    #[must_use]
    pub fn new(limit: u64, latency: Duration, failure_rate: FailureRate) -> Self {
        let conditions = Mutex::new(Conditions { latency, failure_rate });
        Self { limit, conditions, calls: AtomicU64::new(0), ledger: Mutex::default() }
    }

    /// Returns the current conditions.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the conditions of the calls that begin from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        *self.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    /// Waits for the latency, and calls `effect`; or fails, before or after that.
    async fn answer<T>(&self, effect: impl FnOnce(&mut Ledger) -> Outcome<T>) -> Outcome<T> {
        let Conditions { latency, failure_rate } = self.conditions();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let fails = chance(call) < failure_rate.share();
        if fails && call.is_multiple_of(2) {
            return Outcome::retry_later("a simulated failure");
        }
        let outcome = effect(&mut self.ledger());
        if fails { Outcome::Unknown("a simulated loss of the answer".to_owned()) } else { outcome }
    }

    /// Like [`answer`](Self::answer), for a call with a reference.
    async fn with_parts<T>(
        &self,
        reference: &Reference,
        effect: impl FnOnce(&mut Ledger, Parts) -> Outcome<T>,
    ) -> Outcome<T> {
        let Some(parts) = Parts::of(reference) else {
            return Outcome::declined(DeclineCode::NotFound, "the simulated gateway did not make this reference");
        };
        self.answer(|ledger| effect(ledger, parts)).await
    }

    /// Returns why an amount is declined, if it is.
    fn refused(&self, amount: Option<Money>) -> Option<Decline> {
        let amount = amount?;
        // Wider than an `i64`, so that no limit overflows.
        let limit = u128::from(self.limit) * 10_u128.pow(amount.currency().decimals());
        let is_below = u128::from(amount.minor_units().unsigned_abs()) < limit;
        let detail = || format!("the amount is not below the limit of {}", self.limit);
        (!is_below).then(|| Decline { code: DeclineCode::Refused, detail: detail() })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PaymentGateway for SimulatedGateway {
    fn is_immediate(&self) -> bool {
        self.conditions().latency.is_zero()
    }

    async fn prepare(&self, request: &PaymentRequest) -> Outcome<Reference> {
        let parts = Parts::prepared(request.key, request.amount);
        let effect = |ledger: &mut Ledger| {
            ledger.prepare(parts);
            Outcome::Done(parts.reference())
        };
        self.answer(effect).await
    }

    async fn authorize(&self, reference: &Reference) -> Outcome<()> {
        self.with_parts(reference, |ledger, parts| ledger.authorize(parts, self.refused(parts.amount))).await
    }

    async fn capture(&self, reference: &Reference) -> Outcome<Reference> {
        self.with_parts(reference, Ledger::capture).await
    }

    async fn void(&self, reference: &Reference) -> Outcome<()> {
        self.with_parts(reference, Ledger::void).await
    }

    async fn refund(&self, reference: &Reference, key: RefundKey, amount: Money) -> Outcome<()> {
        self.with_parts(reference, |ledger, parts| ledger.refund(parts, key, amount)).await
    }

    async fn lookup(&self, payment: Lookup<'_>) -> Outcome<Option<GatewayPayment>> {
        self.answer(|ledger| {
            Outcome::Done(match payment {
                Lookup::Reference(reference) => Parts::of(reference).and_then(|parts| ledger.get(parts)),
                Lookup::Key(key) => ledger.of_key(key),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use shared_events::OrderId;
    use uuid::Uuid;

    use super::{
        super::super::{GatewayRefund, GatewayState},
        *,
    };
    use crate::domain::PaymentKey;

    const KEY: PaymentKey = PaymentKey(Uuid::from_u128(7));

    fn gateway(limit: u64) -> SimulatedGateway {
        SimulatedGateway::new(limit, Duration::ZERO, FailureRate::default())
    }

    fn is_authorized(limit: u64, amount: &str, currency: &str) -> bool {
        let amount = Money::parse(amount, currency.parse().unwrap()).unwrap();
        let gateway = gateway(limit);
        assert!(gateway.is_immediate());
        let request = PaymentRequest { key: KEY, order_id: OrderId(1), amount, method: None };
        let reference = gateway.prepare(&request).now_or_never().expect("it does not yield");
        let Outcome::Done(reference) = reference else { panic!("{reference:?}") };
        let authorize = || gateway.authorize(&reference).now_or_never().expect("it does not yield");
        let outcome = authorize();
        assert_eq!(outcome, authorize(), "a repeated call gets the same answer");
        outcome == Outcome::Done(())
    }

    #[test]
    fn an_amount_below_the_limit_is_authorized_at_once() {
        for (limit, amount, currency, authorized) in [
            (1000, "0.01", "USD", true),
            (1000, "999.99", "USD", true),
            (1000, "1000", "USD", false),
            (1000, "1000.01", "USD", false),
            (1000, "999", "JPY", true),
            (1000, "1000", "JPY", false),
            (1000, "999.999", "KWD", true),
            (0, "0.01", "USD", false),
            (u64::MAX, "10000000000000", "USD", true),
        ] {
            assert_eq!(is_authorized(limit, amount, currency), authorized, "{amount} {currency}, limit {limit}");
        }
    }

    #[test]
    fn the_references_of_earlier_versions_and_of_a_process_that_ended_are_good() {
        let amount = Money::parse("20", "USD".parse().unwrap()).unwrap();
        let old = Reference(format!("sim-{}", KEY.0.simple()));
        let forgotten = Parts::prepared(KEY, amount).reference();
        for reference in [old, forgotten] {
            let [one, two, three] = [gateway(1000), gateway(1000), gateway(1000)];
            for call in [one.authorize(&reference), three.void(&reference)] {
                assert_eq!(call.now_or_never(), Some(Outcome::Done(())), "{reference}");
            }
            let Some(Outcome::Done(captured)) = two.capture(&reference).now_or_never() else { panic!("{reference}") };
            for reference in [reference, captured] {
                let (gateway, key) = (gateway(1000), RefundKey(Uuid::from_u128(1)));
                let refunded = gateway.refund(&reference, key, amount).now_or_never();
                assert_eq!(refunded, Some(Outcome::Done(())), "{reference}");
            }
        }
    }

    /// Each replica of the service has a gateway of its own.
    #[tokio::test]
    async fn what_another_replica_has_captured_is_refunded() {
        let amount = Money::parse("20", "USD".parse().unwrap()).unwrap();
        let (one, two) = (gateway(1000), gateway(1000));
        let reference = one.prepare(&PaymentRequest { key: KEY, order_id: OrderId(1), amount, method: None }).await;
        let Outcome::Done(reference) = reference else { panic!("{reference:?}") };
        assert_eq!(one.authorize(&reference).await, Outcome::Done(()));
        let captured = two.capture(&reference).await;
        // As after a crash before the answer was stored.
        assert_eq!(two.capture(&reference).await, captured);
        let Outcome::Done(captured) = captured else { panic!("{captured:?}") };
        let key = RefundKey(Uuid::from_u128(1));
        assert_eq!(one.refund(&captured, key, amount).await, Outcome::Done(()));
        let found = one.lookup(Lookup::Reference(&captured)).await;
        let Outcome::Done(Some(found)) = found else { panic!("{found:?}") };
        assert_eq!((found.state, found.reference), (GatewayState::Captured, captured));
        assert_eq!(found.refunds, [GatewayRefund { key, amount }]);
    }

    #[test]
    fn the_share_of_failures_is_the_rate_and_half_of_them_lose_the_answer_only() {
        for (rate, failures) in [(0.0, 0..=0), (0.3, 2_800..=3_200), (1.0, 10_000..=10_000)] {
            let gateway = SimulatedGateway::new(1000, Duration::ZERO, rate.try_into().unwrap());
            let reference = Reference(format!("sim-{}", KEY.0.simple()));
            let (mut failed, mut lost) = (0, 0);
            for _ in 0..10_000 {
                match gateway.void(&reference).now_or_never().expect("it does not yield") {
                    Outcome::RetryLater { .. } => failed += 1,
                    Outcome::Unknown(_) => lost += 1,
                    _ => {}
                }
            }
            assert!(failures.contains(&(failed + lost)), "{rate}: {failed} and {lost}");
            assert!((i32::abs(failed - lost)) < 200, "{rate}: {failed} and {lost}");
        }
    }
}
