use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared_events::{Money, OrderId};

use super::{GatewayError, PaymentGateway};
use crate::domain::{Answer, PaymentKey};

/// How the service calls the gateway: under a time limit, and with at most one void of a payment at a time.
#[derive(Debug)]
pub(crate) struct Calls {
    gateway: Arc<dyn PaymentGateway>,
    timeout: Duration,
    voiding: Mutex<HashSet<PaymentKey>>,
}

impl Calls {
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>, timeout: Duration) -> Self {
        Self { gateway, timeout, voiding: Mutex::default() }
    }

    pub(crate) async fn authorize(
        &self,
        key: PaymentKey,
        order_id: OrderId,
        amount: Money,
    ) -> Result<Answer, GatewayError> {
        self.with_timeout(self.gateway.authorize(key, order_id, amount)).await
    }

    /// Whether the payment is void now. Where that is being asked for already, this does not wait for it: the clock asks
    /// again, so questions without an answer would heap up.
    pub(crate) async fn void(&self, key: PaymentKey) -> bool {
        if !self.lock().insert(key) {
            return false;
        }
        let _turn = Turn { calls: self, key };
        match self.with_timeout(self.gateway.void(key)).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, saga.id = %key.0, "a payment is not voided yet; the clock tries again");
                false
            }
        }
    }

    async fn with_timeout<T>(&self, call: impl Future<Output = Result<T, GatewayError>>) -> Result<T, GatewayError> {
        // It polls the call first: one that answers at once sees no timer.
        let late = |_| GatewayError(format!("no answer within {}", humantime::format_duration(self.timeout)));
        tokio::time::timeout(self.timeout, call).await.map_err(late)?
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PaymentKey>> {
        self.voiding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the call, also where that is dropped half way.
struct Turn<'a> {
    calls: &'a Calls,
    key: PaymentKey,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.key);
    }
}
