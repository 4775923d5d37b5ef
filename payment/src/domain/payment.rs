use std::fmt;

use shared_events::{Money, OrderId, SagaId, Timestamp};
use uuid::Uuid;

/// The public number of a payment: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(pub i64);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the gateway knows a payment by: the saga of its order, or an id made for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey(pub Uuid);

impl From<SagaId> for PaymentKey {
    fn from(saga_id: SagaId) -> Self {
        Self(saga_id.0)
    }
}

/// What the gateway says to an amount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Yes.
    Authorized {
        /// The gateway's own name for the authorization.
        reference: String,
    },
    /// No.
    Declined {
        /// Why, in the gateway's words.
        reason: String,
    },
}

/// Where a payment stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The gateway said yes.
    Authorized,
    /// The gateway said no, for this reason.
    Declined(String),
    /// Authorized once, and no longer wanted: the gateway is still to be told.
    Voiding,
    /// Authorized once, and given back.
    Voided,
    /// Cancelled before anything was authorized. It is no payment: it keeps one from coming about.
    Cancelled,
}

impl State {
    /// As REST and the database say it.
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

/// A payment: what was asked for, which never changes, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Its public number.
    pub payment_id: PaymentId,
    /// The saga that it belongs to; `None` where a caller asked for it.
    pub saga_id: Option<SagaId>,
    /// The order that it pays.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub state: State,
    /// The gateway's name for the authorization, where there ever was one.
    pub reference: Option<String>,
    /// When it was first known here.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPayment {
    /// The number that it gets.
    pub payment_id: PaymentId,
    /// The saga that it belongs to, if there is one.
    pub saga_id: Option<SagaId>,
    /// The order that it pays.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
}

impl Payment {
    /// A payment that the gateway has decided.
    #[must_use]
    pub fn decided(new: NewPayment, answer: &Answer, now: Timestamp) -> Self {
        match answer {
            Answer::Authorized { reference } => Self::new(new, State::Authorized, Some(reference.clone()), now),
            Answer::Declined { reason } => Self::new(new, State::Declined(reason.clone()), None, now),
        }
    }

    /// Not a payment, but the memory that there is to be none.
    #[must_use]
    pub fn cancelled(new: NewPayment, now: Timestamp) -> Self {
        Self::new(new, State::Cancelled, None, now)
    }

    /// Whether the amount is the payee's.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.state == State::Authorized
    }

    pub(super) fn moved_to(&self, state: State, now: Timestamp) -> Self {
        Self { state, changed_at: now, ..self.clone() }
    }

    fn new(new: NewPayment, state: State, reference: Option<String>, now: Timestamp) -> Self {
        let NewPayment { payment_id, saga_id, order_id, amount } = new;
        Self { payment_id, saga_id, order_id, amount, state, reference, created_at: now, changed_at: now }
    }
}
