use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use saga_runtime::Readiness;
use saga_support::Backoff;
use tokio::time::Instant;

/// Failures in a row after which the gateway counts as unavailable.
const MAX_FAILURES: u32 = 10;
/// The same after a probe was answered, until the gateway has answered about a payment.
const MAX_FAILURES_AFTER_PROBE: u32 = 3;
/// The first and the longest pause between two probes.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(15)];

/// A circuit breaker: while the gateway does not answer, no payment is asked about, and only a probe is sent now and
/// then. It is in memory: each replica finds out for itself.
#[derive(Debug)]
pub(super) struct Breaker {
    circuit: Mutex<Circuit>,
    readiness: OnceLock<Readiness>,
    open: Gauge,
}

#[derive(Debug)]
struct Circuit {
    /// How many more calls in a row may fail.
    failures_left: u32,
    /// When the next probe may be sent, if the circuit is open.
    next_probe: Option<Instant>,
    /// The pauses between probes. They start again once the gateway has answered about a payment.
    pauses: Backoff,
}

/// What may be sent to the gateway now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Questions about payments.
    Payments,
    /// A probe.
    Probe,
    Nothing,
}

impl Default for Breaker {
    fn default() -> Self {
        let [first, longest] = PAUSES;
        let pauses = Backoff::growing(first, longest);
        let circuit = Circuit { failures_left: MAX_FAILURES, next_probe: None, pauses };
        Self { circuit: Mutex::new(circuit), readiness: OnceLock::new(), open: Gauge::default() }
    }
}

impl Breaker {
    /// Reports from now on to `readiness`, as the dependency `gateway`, once the gateway has become unavailable.
    pub(super) fn report_to(&self, readiness: Readiness) {
        // Only the first counts; a service starts once.
        let _ = self.readiness.set(readiness);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "1 while the payment gateway does not answer and payments wait, otherwise 0";
        registry.register("gateway_circuit_open", help, self.open.clone());
    }

    /// Returns what may be sent.
    pub(super) fn allowed(&self, now: Instant) -> Allowed {
        match self.lock().next_probe {
            None => Allowed::Payments,
            Some(at) if at <= now => Allowed::Probe,
            Some(_) => Allowed::Nothing,
        }
    }

    /// Records that a probe is sent. The next one is allowed only after a pause.
    pub(super) fn probed(&self, now: Instant) {
        let mut circuit = self.lock();
        if circuit.next_probe.is_some() {
            circuit.next_probe = Some(now + circuit.pauses.next_pause());
        }
    }

    /// Records that the gateway has answered a probe.
    pub(super) fn probe_answered(&self) {
        let mut circuit = self.lock();
        if circuit.next_probe.take().is_some() {
            circuit.failures_left = MAX_FAILURES_AFTER_PROBE;
            self.report(&Ok(()));
        }
    }

    /// Records that the gateway has answered about a payment.
    pub(super) fn answered(&self) {
        let mut circuit = self.lock();
        if circuit.failures_left == MAX_FAILURES {
            return;
        }
        circuit.failures_left = MAX_FAILURES;
        circuit.pauses.reset();
        if circuit.next_probe.take().is_some() {
            self.report(&Ok(()));
        }
    }

    /// Records that the gateway has not answered about a payment.
    pub(super) fn failed(&self, now: Instant) {
        let mut circuit = self.lock();
        circuit.failures_left = circuit.failures_left.saturating_sub(1);
        if circuit.failures_left == 0 && circuit.next_probe.is_none() {
            circuit.next_probe = Some(now + circuit.pauses.next_pause());
            self.report(&Err("it does not answer; payments wait".to_owned()));
        }
    }

    fn report(&self, state: &Result<(), String>) {
        self.open.set(i64::from(state.is_err()));
        if let Some(readiness) = self.readiness.get() {
            readiness.set("gateway", state.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> (Breaker, Readiness) {
        let (breaker, readiness) = (Breaker::default(), Readiness::new([]));
        breaker.report_to(readiness.clone());
        (1..MAX_FAILURES).for_each(|_| breaker.failed(now));
        breaker.answered();
        (1..MAX_FAILURES).for_each(|_| breaker.failed(now));
        assert_eq!(breaker.allowed(now), Allowed::Payments);
        assert_eq!(readiness.snapshot(), [], "it was never unavailable");
        breaker.failed(now);
        assert_eq!((breaker.allowed(now), breaker.open.get()), (Allowed::Nothing, 1));
        assert!(readiness.snapshot()[0].down.as_ref().is_some_and(|why| why.contains("does not answer")));
        (breaker, readiness)
    }

    #[test]
    fn a_gateway_that_is_away_for_an_hour_is_only_probed_with_growing_pauses() {
        let mut now = Instant::now();
        let (breaker, _) = opened(now);
        let mut probes = 0;
        for _ in 0..3_600 {
            now += Duration::from_secs(1);
            match breaker.allowed(now) {
                Allowed::Probe => {
                    probes += 1;
                    breaker.probed(now);
                }
                Allowed::Nothing => {}
                Allowed::Payments => panic!("payments are asked about"),
            }
            // Calls that began before may fail late.
            breaker.failed(now);
        }
        assert!((150..600).contains(&probes), "{probes} probes in an hour");
    }

    #[test]
    fn after_an_answered_probe_a_few_failures_open_it_again() {
        let mut now = Instant::now();
        let (breaker, readiness) = opened(now);
        for _ in 0..5 {
            now += Duration::from_secs(30);
            assert_eq!(breaker.allowed(now), Allowed::Probe);
            breaker.probed(now);
            assert_eq!(breaker.allowed(now), Allowed::Nothing);
            breaker.probe_answered();
            assert_eq!((breaker.allowed(now), readiness.snapshot()[0].down.clone()), (Allowed::Payments, None));
            (0..MAX_FAILURES_AFTER_PROBE).for_each(|_| breaker.failed(now));
            assert_eq!((breaker.allowed(now), breaker.open.get()), (Allowed::Nothing, 1));
        }
        breaker.answered();
        assert_eq!((breaker.allowed(now), breaker.open.get()), (Allowed::Payments, 0));
        assert_eq!(readiness.snapshot()[0].down, None);
    }
}
