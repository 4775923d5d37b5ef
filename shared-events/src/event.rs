use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FLOWS, Flow, Lines, Money, OrderId, SagaId, Sku};

/// Something that happened to an order, told to whoever must hear it.
///
/// It carries the order's unchanging facts, so that no consumer has to ask another service anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event {
    /// The saga of the order that it happened to.
    pub saga_id: SagaId,
    /// That order.
    pub order: OrderDetails,
    /// What happened.
    pub body: EventBody,
}

/// The facts of an order that never change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderDetails {
    /// Its public number.
    pub order_id: OrderId,
    /// What was ordered.
    pub lines: Lines,
    /// What is to be paid for it.
    pub total: Money,
}

/// What happened, in the past tense.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventBody {
    /// The customer placed the order.
    OrderCreated,
    /// The stock of every line is held.
    StockReserved,
    /// No stock is held, because of one SKU.
    StockReservationFailed {
        /// [`FailureReason::UnknownItem`] or [`FailureReason::InsufficientStock`].
        reason: FailureReason,
        /// The first SKU that could not be held.
        item_sku: Sku,
    },
    /// The payment is authorized.
    PaymentAuthorized,
    /// The payment is declined.
    PaymentFailed {
        /// Why.
        reason: FailureReason,
    },
    /// Nothing is held for the order any more; also said where nothing ever was.
    StockReleased,
    /// The end: paid, and the held stock is sold.
    OrderConfirmed,
    /// The end: nothing is held and nothing is paid.
    OrderFailed {
        /// Why.
        reason: FailureReason,
    },
    /// The end, as the customer wished.
    OrderCancelled,
    /// Whatever was done for the order is to be undone, and nothing more to be begun.
    OrderCancelRequested {
        /// Who wishes it.
        reason: CancelReason,
    },
    /// No payment is authorized any more; also said where none ever was.
    PaymentVoided,
    /// Stock has been held for longer than an order should take: what became of it?
    StockHoldOverdue,
}

/// The name of an event, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is described at its namesake in EventBody")]
pub enum EventType {
    OrderCreated,
    StockReserved,
    StockReservationFailed,
    PaymentAuthorized,
    PaymentFailed,
    StockReleased,
    OrderConfirmed,
    OrderFailed,
    OrderCancelled,
    OrderCancelRequested,
    PaymentVoided,
    StockHoldOverdue,
}

impl EventType {
    /// Every event, in the order of the flow table.
    pub const ALL: [Self; 12] = [
        Self::OrderCreated,
        Self::StockReserved,
        Self::StockReservationFailed,
        Self::PaymentAuthorized,
        Self::PaymentFailed,
        Self::StockReleased,
        Self::OrderConfirmed,
        Self::OrderFailed,
        Self::OrderCancelled,
        Self::OrderCancelRequested,
        Self::PaymentVoided,
        Self::StockHoldOverdue,
    ];

    /// Its row of the flow table.
    #[must_use]
    pub fn flow(self) -> &'static Flow {
        &FLOWS[self as usize]
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl EventBody {
    /// Its name.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self {
            Self::OrderCreated => EventType::OrderCreated,
            Self::StockReserved => EventType::StockReserved,
            Self::StockReservationFailed { .. } => EventType::StockReservationFailed,
            Self::PaymentAuthorized => EventType::PaymentAuthorized,
            Self::PaymentFailed { .. } => EventType::PaymentFailed,
            Self::StockReleased => EventType::StockReleased,
            Self::OrderConfirmed => EventType::OrderConfirmed,
            Self::OrderFailed { .. } => EventType::OrderFailed,
            Self::OrderCancelled => EventType::OrderCancelled,
            Self::OrderCancelRequested { .. } => EventType::OrderCancelRequested,
            Self::PaymentVoided => EventType::PaymentVoided,
            Self::StockHoldOverdue => EventType::StockHoldOverdue,
        }
    }
}

/// Why an order failed; as text `INSUFFICIENT_STOCK` and so on. A new reason is a new version of the events that carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// There is less of an item than was ordered.
    InsufficientStock,
    /// Nobody ever put such an item in stock.
    UnknownItem,
    /// The payment gateway said no.
    PaymentDeclined,
    /// The order did not come to its end in time.
    DeadlineExceeded,
}

impl FailureReason {
    /// The reason in words; these are part of the REST contract.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::InsufficientStock => "insufficient stock",
            Self::UnknownItem => "item not found",
            Self::PaymentDeclined => "payment declined",
            Self::DeadlineExceeded => "deadline exceeded",
        }
    }
}

/// Who asked for the cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancelReason {
    /// The customer.
    Customer,
    /// The deadline of the order passed.
    Deadline,
}
