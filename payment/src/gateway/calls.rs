use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Outcome, PaymentGateway, PaymentRequest, Reference};
use crate::{
    domain::Answer,
    metrics::{GatewayMetrics, Operation},
};

/// The gateway has not answered, or not in time. Contains the reason as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment gateway is unavailable: {0}")]
pub(crate) struct GatewayError(String);

/// Calls the gateway with a timeout, and with at most one void per payment at a time.
#[derive(Debug)]
pub(crate) struct Calls {
    gateway: Arc<dyn PaymentGateway>,
    timeout: Duration,
    voiding: Mutex<HashSet<Reference>>,
    metrics: GatewayMetrics,
}

impl Calls {
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>, timeout: Duration) -> Self {
        Self { gateway, timeout, voiding: Mutex::default(), metrics: GatewayMetrics::default() }
    }

    /// Returns the counters of the calls.
    pub(crate) fn metrics(&self) -> &GatewayMetrics {
        &self.metrics
    }

    /// Prepares a payment and authorizes it. Neither charges anything more if it is repeated.
    pub(crate) async fn authorize(&self, request: &PaymentRequest) -> Result<Answer, GatewayError> {
        let reference = match self.call(Operation::Prepare, self.gateway.prepare(request)).await? {
            Ok(reference) => reference,
            Err(reason) => return Ok(Answer::Declined { reason }),
        };
        let authorized = self.call(Operation::Authorize, self.gateway.authorize(&reference)).await?;
        Ok(match authorized {
            Ok(()) => Answer::Authorized { reference: reference.0 },
            Err(reason) => Answer::Declined { reason },
        })
    }

    /// Voids a payment, and returns whether that succeeded. If a void of the payment is already running, returns
    /// `false` at once: the timer repeats the call, so waiting calls would pile up.
    pub(crate) async fn void(&self, reference: &Reference) -> bool {
        if !self.lock().insert(reference.clone()) {
            return false;
        }
        let _running = RunningVoid { calls: self, reference };
        let error = match self.call(Operation::Void, self.gateway.void(reference)).await {
            Ok(Ok(())) => return true,
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, %reference, "a payment is not voided yet; the timer tries again");
        false
    }

    /// Makes a call within the time limit, and returns its answer: what was done, or why the gateway declines.
    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Outcome<T>>,
    ) -> Result<Result<T, String>, GatewayError> {
        // The call is polled first, so one that answers at once needs no timer.
        let late = |_| Outcome::Unknown(format!("no answer within {}", humantime::format_duration(self.timeout)));
        let outcome = tokio::time::timeout(self.timeout, call).await.unwrap_or_else(late);
        self.metrics.called(operation, outcome.is_answer());
        match outcome {
            Outcome::Done(value) => Ok(Ok(value)),
            Outcome::Declined(decline) => Ok(Err(decline.detail)),
            Outcome::Unknown(reason) | Outcome::RetryLater { reason, .. } => Err(GatewayError(reason)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Reference>> {
        self.voiding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a void as running, until the call ends or is dropped.
struct RunningVoid<'a> {
    calls: &'a Calls,
    reference: &'a Reference,
}

impl Drop for RunningVoid<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(self.reference);
    }
}
