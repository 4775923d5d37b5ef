use std::fmt;

use shared_events::{Lines, Money, OrderDetails, OrderId, OwnedKey, PaymentMethod, RefundId, SagaId, Timestamp};
use uuid::Uuid;

use super::{Refund, State};

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

/// A payment: what was requested, which never changes, and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// What it is for.
    pub purpose: Purpose,
    /// The order that it pays.
    pub order_id: OrderId,
    /// The amount.
    pub amount: Money,
    /// Its state.
    pub state: State,
    /// The gateway's reference. Once it is there, only a capture replaces it, by that of the captured payment.
    pub reference: Option<String>,
    /// What is still to be done at the gateway, if anything is.
    pub task: Option<Task>,
    /// What is to go back to the customer, and what has gone back, oldest first.
    pub refunds: Vec<Refund>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// What a payment is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// An order's saga, whose id is the gateway's key.
    Saga(SagaId),
    /// A client's request over REST.
    Client {
        /// The gateway's key; `None` in rows of versions that did not store it.
        key: Option<PaymentKey>,
        /// The client's own key.
        idempotency_key: Option<OwnedKey>,
    },
}

/// That the gateway has to be asked about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// When it is to be asked. For as long as it is being asked, when to ask again if no answer comes.
    pub due_at: Timestamp,
    /// How often the gateway was asked, since the last answer.
    pub attempts: u32,
    /// How many of these questions, and those under way, the gateway may have acted on.
    pub unanswered: u32,
    /// The lines of the order, which the event about the answer has to contain. `None` if there is no event: the client
    /// is answered over REST, or a version that did not store them began the task.
    pub lines: Option<Lines>,
    /// The means of payment that the order names, until the payment is prepared.
    pub method: Option<PaymentMethod>,
}

/// The data of a new payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// Its id.
    pub payment_id: PaymentId,
    /// What it is for.
    pub purpose: Purpose,
    /// The order that it pays.
    pub order_id: OrderId,
    /// The amount.
    pub amount: Money,
}

impl NewPayment {
    /// Returns the data of an order's payment.
    #[must_use]
    pub fn of_order(payment_id: PaymentId, saga_id: SagaId, order: &OrderDetails) -> Self {
        Self { payment_id, purpose: Purpose::Saga(saga_id), order_id: order.order_id, amount: order.total }
    }

    /// Creates the payment in this state.
    #[must_use]
    pub fn into_payment(self, state: State, now: Timestamp) -> Payment {
        let Self { payment_id, purpose, order_id, amount } = self;
        Payment {
            payment_id,
            purpose,
            order_id,
            amount,
            state,
            reference: None,
            task: None,
            refunds: Vec::new(),
            created_at: now,
            changed_at: now,
        }
    }
}

impl Payment {
    /// Returns whether the amount is held now, or was taken.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        matches!(self.state, State::Authorized | State::Capturing | State::Captured)
    }

    /// Returns the saga that it belongs to; `None` if a client requested it.
    #[must_use]
    pub fn saga_id(&self) -> Option<SagaId> {
        match self.purpose {
            Purpose::Saga(saga_id) => Some(saga_id),
            Purpose::Client { .. } => None,
        }
    }

    /// Returns the client's idempotency key.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&OwnedKey> {
        match &self.purpose {
            Purpose::Saga(_) => None,
            Purpose::Client { idempotency_key, .. } => idempotency_key.as_ref(),
        }
    }

    /// Returns the gateway's key of the payment, if it is known.
    #[must_use]
    pub fn key(&self) -> Option<PaymentKey> {
        match self.purpose {
            Purpose::Saga(saga_id) => Some(saga_id.into()),
            Purpose::Client { key, .. } => key,
        }
    }

    /// Returns the order, if the task knows its lines.
    #[must_use]
    pub fn order(&self) -> Option<OrderDetails> {
        Some(self.order_with(self.task.as_ref()?.lines.clone()?))
    }

    /// Returns the order, if the refund with this id knows its lines.
    #[must_use]
    pub fn order_of_refund(&self, id: RefundId) -> Option<OrderDetails> {
        Some(self.order_with(self.refund(id)?.lines.clone()?))
    }

    fn order_with(&self, lines: Lines) -> OrderDetails {
        OrderDetails { order_id: self.order_id, lines, total: self.amount, payment_method: None }
    }

    /// Returns the payment in another state. `lines` are given if the gateway has to be asked.
    pub(super) fn with(&self, state: State, task: Option<Task>, now: Timestamp) -> Self {
        Self { state, task, changed_at: now, ..self.clone() }
    }
}

impl Task {
    /// Returns a task that is due now.
    #[must_use]
    pub fn new(lines: Option<Lines>, now: Timestamp) -> Self {
        Self { due_at: now, attempts: 0, unanswered: 0, lines, method: None }
    }
}
