use std::fmt;

use async_trait::async_trait;
use shared_events::{Money, OrderId};

use crate::domain::{Answer, PaymentKey};

/// Whoever moves the money.
///
/// What every implementation promises:
/// - *idempotent by key*: a call that is repeated with its key is answered as the first time and charges nothing more, also while the
///   first call is still under way, and also after the key was voided;
/// - *void is final*: once it has returned, nothing is charged for the key, and no call with that key that is begun later
///   changes that. It is harmless where nothing was authorized, and where it was done before.
///
/// It is not promised that voiding a key keeps a *first* `authorize` that comes later from charging. So the service voids
/// only what it knows to be authorized.
#[async_trait]
pub trait PaymentGateway: Send + Sync + fmt::Debug {
    /// Asks for an amount.
    ///
    /// # Errors
    /// If there is no answer for the moment. The gateway may have charged all the same: the same question, asked
    /// again, tells.
    async fn authorize(&self, key: PaymentKey, order_id: OrderId, amount: Money) -> Result<Answer, GatewayError>;

    /// Gives back what was authorized with `key`.
    ///
    /// # Errors
    /// If there is no answer for the moment: it may be done or not, and is to be asked for again.
    async fn void(&self, key: PaymentKey) -> Result<(), GatewayError>;
}

/// The gateway does not answer for the moment, or not in time: why, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment gateway is away: {0}")]
pub struct GatewayError(pub String);
