use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared_events::{Money, OrderId};

use super::{GatewayError, PaymentGateway};
use crate::{
    domain::{Answer, PaymentKey},
    metrics::{GatewayMetrics, Operation},
};

/// Calls the gateway with a timeout, and with at most one void per payment at a time.
#[derive(Debug)]
pub(crate) struct Calls {
    gateway: Arc<dyn PaymentGateway>,
    timeout: Duration,
    voiding: Mutex<HashSet<PaymentKey>>,
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

    pub(crate) async fn authorize(
        &self,
        key: PaymentKey,
        order_id: OrderId,
        amount: Money,
    ) -> Result<Answer, GatewayError> {
        self.call(Operation::Authorize, self.gateway.authorize(key, order_id, amount)).await
    }

    /// Voids a payment, and returns whether that succeeded. If a void of the payment is already running, returns
    /// `false` at once: the timer repeats the call, so waiting calls would pile up.
    pub(crate) async fn void(&self, key: PaymentKey) -> bool {
        if !self.lock().insert(key) {
            return false;
        }
        let _running = RunningVoid { calls: self, key };
        match self.call(Operation::Void, self.gateway.void(key)).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, saga.id = %key.0, "a payment is not voided yet; the timer tries again");
                false
            }
        }
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        // The call is polled first, so one that answers at once needs no timer.
        let late = |_| GatewayError(format!("no answer within {}", humantime::format_duration(self.timeout)));
        let result = tokio::time::timeout(self.timeout, call).await.map_err(late).flatten();
        self.metrics.called(operation, result.is_ok());
        result
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PaymentKey>> {
        self.voiding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a void as running, until the call ends or is dropped.
struct RunningVoid<'a> {
    calls: &'a Calls,
    key: PaymentKey,
}

impl Drop for RunningVoid<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.key);
    }
}
