use std::{
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use shared_events::{Money, OrderId};

use super::{GatewayError, PaymentGateway};
use crate::domain::{Answer, PaymentKey};

/// A gateway that moves no money: it authorizes amounts below a limit and declines the others.
///
/// Its answer and its reference depend only on the key and the amount, so it is idempotent without storing anything.
/// With no latency and no failures it answers at once, without yielding.
#[derive(Debug)]
pub struct SimulatedGateway {
    limit: u64,
    conditions: Mutex<Conditions>,
    /// The number of calls so far. It is the index into the fixed sequence that determines which calls fail.
    calls: AtomicU64,
}

impl SimulatedGateway {
    /// Creates a gateway that authorizes amounts below `limit`, in whole major units whatever the currency, answers
    /// after `latency`, and fails in `failure_rate` of all calls.
    #[must_use]
    pub fn new(limit: u64, latency: Duration, failure_rate: FailureRate) -> Self {
        let conditions = Mutex::new(Conditions { latency, failure_rate });
        Self { limit, conditions, calls: AtomicU64::new(0) }
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

    async fn answer<T>(&self, answer: T) -> Result<T, GatewayError> {
        let Conditions { latency, failure_rate } = self.conditions();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if chance(call) < failure_rate.0 {
            return Err(GatewayError("a simulated failure".to_owned()));
        }
        Ok(answer)
    }
}

/// How the simulated gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Its response time.
    pub latency: Duration,
    /// The share of calls that fail.
    pub failure_rate: FailureRate,
}

#[async_trait]
impl PaymentGateway for SimulatedGateway {
    async fn authorize(&self, key: PaymentKey, _: OrderId, amount: Money) -> Result<Answer, GatewayError> {
        // Wider than an `i64`, so that no limit overflows.
        let limit = u128::from(self.limit) * 10_u128.pow(amount.currency().decimals());
        let answer = if u128::from(amount.minor_units().unsigned_abs()) < limit {
            Answer::Authorized { reference: format!("sim-{}", key.0.simple()) }
        } else {
            Answer::Declined { reason: format!("the amount is not below the limit of {}", self.limit) }
        };
        self.answer(answer).await
    }

    async fn void(&self, _: PaymentKey) -> Result<(), GatewayError> {
        self.answer(()).await
    }
}

/// The share of calls that fail, from 0 (none) to 1 (all).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct FailureRate(f64);

/// A text that is not a [`FailureRate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1")]
pub struct InvalidFailureRate;

impl TryFrom<f64> for FailureRate {
    type Error = InvalidFailureRate;
    fn try_from(share: f64) -> Result<Self, InvalidFailureRate> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(InvalidFailureRate) }
    }
}

impl FailureRate {
    /// Returns the share, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }
}

impl FromStr for FailureRate {
    type Err = InvalidFailureRate;
    fn from_str(text: &str) -> Result<Self, InvalidFailureRate> {
        text.parse::<f64>().map_err(|_| InvalidFailureRate)?.try_into()
    }
}

/// Returns the `n`th number, at least 0 and below 1, of a fixed sequence without a visible pattern (SplitMix64,
/// <https://prng.di.unimi.it/splitmix64.c>): in two runs with the same calls, the same calls fail.
fn chance(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The upper 53 bits, which an `f64` holds exactly.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    const KEY: PaymentKey = PaymentKey(Uuid::from_u128(7));

    fn gateway(limit: u64) -> SimulatedGateway {
        SimulatedGateway::new(limit, Duration::ZERO, FailureRate::default())
    }

    fn is_authorized(limit: u64, amount: &str, currency: &str) -> bool {
        let amount = Money::parse(amount, currency.parse().unwrap()).unwrap();
        let gateway = gateway(limit);
        let authorize =
            || gateway.authorize(KEY, OrderId(1), amount).now_or_never().expect("it does not yield").unwrap();
        let answer = authorize();
        assert_eq!(answer, authorize(), "a repeated call gets the same answer");
        matches!(answer, Answer::Authorized { .. })
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
        assert_eq!(gateway(1000).void(KEY).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn each_key_has_a_reference_of_its_own() {
        let amount = Money::parse("1", "USD".parse().unwrap()).unwrap();
        let gateway = gateway(1000);
        let reference = |key| gateway.authorize(PaymentKey(Uuid::from_u128(key)), OrderId(1), amount).now_or_never();
        assert_ne!(reference(1), reference(2));
    }

    #[test]
    fn the_share_of_failures_is_the_rate() {
        for (rate, failures) in [(0.0, 0..=0), (0.3, 2_800..=3_200), (1.0, 10_000..=10_000)] {
            let gateway = SimulatedGateway::new(1000, Duration::ZERO, rate.try_into().unwrap());
            let failed = (0..10_000).filter(|_| gateway.void(KEY).now_or_never().expect("it does not yield").is_err());
            let failed = failed.count();
            assert!(failures.contains(&failed), "{rate}: {failed}");
        }
    }

    #[test]
    fn a_rate_is_from_0_to_1() {
        for (text, rate) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0)] {
            assert_eq!(text.parse(), Ok(FailureRate(rate)));
        }
        for text in ["-0.1", "1.1", "NaN", "inf", "", "half"] {
            assert_eq!(text.parse::<FailureRate>(), Err(InvalidFailureRate), "{text}");
        }
    }
}
