//! What the service tells a payment gateway, and what it gets back.

use std::{fmt, time::Duration};

use shared_events::{Money, OrderId, PaymentMethod};
use uuid::Uuid;

use crate::domain::PaymentKey;

/// The gateway's own id of a payment. Only a capture may give it another one. The gateway knows both for as long as it
/// keeps the payment, which is far longer than it remembers an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(pub String);

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PaymentRequest {
    /// The idempotency key of the payment.
    pub key: PaymentKey,
    /// The order that it pays, for people who look at the gateway's records.
    pub order_id: OrderId,
    /// The amount.
    pub amount: Money,
    /// The means of payment; `None` for the gateway's default.
    pub method: Option<PaymentMethod>,
}

/// The idempotency key of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefundKey(pub Uuid);

/// By what a payment is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// By the gateway's id.
    Reference(&'a Reference),
    /// By the key that it was prepared with. If there are several, because the gateway had forgotten the key, the one
    /// with the most progress.
    Key(PaymentKey),
}

/// The result of a call to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It is done: now, or by an earlier call.
    Done(T),
    /// The gateway has refused it, and would refuse a repetition. It has changed nothing.
    Declined(Decline),
    /// Whether it was done is not known: the answer was lost or late, or the gateway itself does not know.
    /// [`lookup`](super::PaymentGateway::lookup) tells.
    Unknown(String),
    /// It was not done, and may be tried again: the gateway was not reached, or has refused for now.
    RetryLater {
        /// The reason, for the log.
        reason: String,
        /// How long the gateway asks to wait, if it does.
        after: Option<Duration>,
    },
}

impl<T> Outcome<T> {
    /// Returns the outcome "not done, may be tried again" without a wait that the gateway asks for.
    pub fn retry_later(reason: impl Into<String>) -> Self {
        Self::RetryLater { reason: reason.into(), after: None }
    }

    /// Returns the outcome "declined".
    pub fn declined(code: DeclineCode, detail: impl Into<String>) -> Self {
        Self::Declined(Decline { code, detail: detail.into() })
    }

    /// Returns whether the gateway has answered: done or declined.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Declined(_))
    }

    /// Converts what was done.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(convert(value)),
            Self::Declined(decline) => Outcome::Declined(decline),
            Self::Unknown(reason) => Outcome::Unknown(reason),
            Self::RetryLater { reason, after } => Outcome::RetryLater { reason, after },
        }
    }
}

/// Why a gateway refuses something for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decline {
    /// The reason, for programs.
    pub code: DeclineCode,
    /// The reason, for people.
    pub detail: String,
}

/// Why a gateway refuses something for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclineCode {
    /// The means of payment was refused: not enough money, a blocked card, and so on.
    Refused,
    /// The customer would have to act, for example to confirm the payment at the bank.
    ActionRequired,
    /// The payment is voided.
    Voided,
    /// The authorization has expired.
    Expired,
    /// Nothing is authorized.
    NotAuthorized,
    /// The amount is captured, so it can be refunded but not voided.
    AlreadyCaptured,
    /// A refund of more than is left of what was captured, or of something that was not captured.
    OverCaptured,
    /// The key was used for something with other content.
    KeyReused,
    /// The gateway knows no payment with this reference.
    NotFound,
}

/// A payment as the gateway has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPayment {
    /// The gateway's id: that of the capture, once it is captured.
    pub reference: Reference,
    /// The amount; once it is captured, what was taken.
    pub amount: Money,
    /// How far it is.
    pub state: GatewayState,
    /// Its refunds that count, oldest first: they have moved money, or are going to.
    pub refunds: Vec<GatewayRefund>,
    /// Its refunds that were accepted and have failed since, oldest first.
    pub failed_refunds: Vec<FailedRefund>,
}

/// How far a payment is at the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GatewayState {
    /// Nothing is charged. An authorization was not tried, or the gateway is not done with it.
    Prepared,
    /// The authorization was declined.
    Declined(Decline),
    /// The amount is held.
    Authorized,
    /// The amount was taken.
    Captured,
    /// Nothing is held, and nothing will ever be taken.
    Voided,
    /// The authorization has expired: nothing is held.
    Expired,
}

/// A refund that the gateway had accepted, and that has failed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRefund {
    /// The key that it was requested with.
    pub key: RefundKey,
    /// Why it has failed, in the gateway's words.
    pub reason: String,
}

/// A refund as the gateway has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRefund {
    /// The key that it was requested with.
    pub key: RefundKey,
    /// The amount.
    pub amount: Money,
}
