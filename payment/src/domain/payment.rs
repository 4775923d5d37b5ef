use std::fmt;

use shared_events::{Money, OrderId, SagaId, Timestamp};
use uuid::Uuid;

/// The id of a payment, as shown by REST: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(pub i64);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The gateway's idempotency key of a payment: the id of the order's saga, or an id created for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey(pub Uuid);

impl From<SagaId> for PaymentKey {
    fn from(saga_id: SagaId) -> Self {
        Self(saga_id.0)
    }
}

/// The gateway's answer to an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The amount is authorized.
    Authorized {
        /// The gateway's reference of the authorization.
        reference: String,
    },
    /// The amount is declined.
    Declined {
        /// The reason, as reported by the gateway.
        reason: String,
    },
}

/// The state of a payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The gateway authorized it.
    Authorized,
    /// The gateway declined it, for this reason.
    Declined(String),
    /// It was authorized and is no longer wanted; the gateway still has to void it.
    Voiding,
    /// It was authorized, and the gateway has voided it.
    Voided,
    /// The order was cancelled before anything was authorized. This is not a payment but a tombstone: it prevents a
    /// payment.
    Cancelled,
}

impl State {
    /// Returns its name in REST and in the database.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Authorized => "AUTHORIZED",
            Self::Declined(_) => "DECLINED",
            Self::Voiding => "VOIDING",
            Self::Voided => "VOIDED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A payment: what was requested, which never changes, and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// The saga that it belongs to; `None` if a client requested it over REST.
    pub saga_id: Option<SagaId>,
    /// The order that it pays.
    pub order_id: OrderId,
    /// The amount.
    pub amount: Money,
    /// Its state.
    pub state: State,
    /// The gateway's reference of the authorization, if it was ever authorized.
    pub reference: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// The data of a new payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPayment {
    /// Its id.
    pub payment_id: PaymentId,
    /// The saga that it belongs to, if there is one.
    pub saga_id: Option<SagaId>,
    /// The order that it pays.
    pub order_id: OrderId,
    /// The amount.
    pub amount: Money,
}

impl Payment {
    /// Creates a payment from the answer of the gateway.
    #[must_use]
    pub fn from_answer(new: NewPayment, answer: &Answer, now: Timestamp) -> Self {
        match answer {
            Answer::Authorized { reference } => Self::new(new, State::Authorized, Some(reference.clone()), now),
            Answer::Declined { reason } => Self::new(new, State::Declined(reason.clone()), None, now),
        }
    }

    /// Creates a tombstone, which prevents a payment.
    #[must_use]
    pub fn cancelled(new: NewPayment, now: Timestamp) -> Self {
        Self::new(new, State::Cancelled, None, now)
    }

    /// Returns whether the amount is authorized now.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.state == State::Authorized
    }

    pub(super) fn with_state(&self, state: State, now: Timestamp) -> Self {
        Self { state, changed_at: now, ..self.clone() }
    }

    fn new(new: NewPayment, state: State, reference: Option<String>, now: Timestamp) -> Self {
        let NewPayment { payment_id, saga_id, order_id, amount } = new;
        Self { payment_id, saga_id, order_id, amount, state, reference, created_at: now, changed_at: now }
    }
}
