use std::fmt;

use async_trait::async_trait;
use shared_events::{Money, OrderId};

use crate::domain::{Answer, PaymentKey};

/// A payment gateway, which moves the money.
///
/// Every implementation guarantees:
/// - *Calls are idempotent by key*: a repeated call with the same key gets the same answer and charges nothing more,
///   also while the first call is still running, and also after the key was voided.
/// - *A void is final*: once it has returned, nothing is charged for the key, and no repeated call that starts later
///   changes this. It has no effect if nothing was authorized, or if it was done before.
///
/// It is not guaranteed that the void of a key prevents a later *first* `authorize` from charging. So the service voids
/// only what it knows to be authorized.
#[async_trait]
pub trait PaymentGateway: Send + Sync + fmt::Debug {
    /// Authorizes an amount.
    ///
    /// # Errors
    /// If the gateway does not answer. It may have charged nevertheless: a repeated call gets the answer.
    async fn authorize(&self, key: PaymentKey, order_id: OrderId, amount: Money) -> Result<Answer, GatewayError>;

    /// Voids what was authorized with `key`.
    ///
    /// # Errors
    /// If the gateway does not answer. It may have voided the payment or not: the call has to be repeated.
    async fn void(&self, key: PaymentKey) -> Result<(), GatewayError>;
}

/// The gateway does not answer, or not in time. Contains the reason as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment gateway is unavailable: {0}")]
pub struct GatewayError(pub String);
