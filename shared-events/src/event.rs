use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FLOWS, Flow, Lines, Money, OrderId, PaymentMethod, RefundDetails, RefundFailure, SagaId, Sku};

/// Something that happened to an order, published to the services that need to know it.
///
/// It contains everything about the order that never changes, so that no consumer has to query another service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event {
    /// The id of the saga of the order.
    pub saga_id: SagaId,
    /// The order that it happened to.
    pub order: OrderDetails,
    /// What happened.
    pub body: EventBody,
}

/// What never changes about an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderDetails {
    /// Its id.
    pub order_id: OrderId,
    /// The ordered lines.
    pub lines: Lines,
    /// The amount to pay.
    pub total: Money,
    /// How it is to be paid, if the customer said so. Only `OrderCreated` and `StockReserved` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
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
        /// The reason.
        reason: FailureReason,
    },
    /// Nothing is held for the order any more. Also published if nothing ever was.
    StockReleased,
    /// Final: the order is paid, and its stock is sold.
    OrderConfirmed,
    /// Final: nothing is held and nothing is paid.
    OrderFailed {
        /// The reason.
        reason: FailureReason,
    },
    /// Final, at the request of the customer: nothing is held and nothing is paid.
    OrderCancelled,
    /// The cancellation of the order is requested: the other services undo what they did for it, and begin nothing
    /// more.
    OrderCancelRequested {
        /// Who requested it.
        reason: CancelReason,
    },
    /// No payment is authorized any more. Also published if none ever was.
    PaymentVoided,
    /// Stock has been held for longer than an order should take. The order service publishes its last decision again.
    StockHoldOverdue,
    /// The amount of a confirmed order is taken.
    PaymentCaptured,
    /// The amount of a confirmed order cannot be taken.
    PaymentCaptureFailed,
    /// A refund of the confirmed order is requested.
    RefundRequested {
        /// The refund.
        refund: RefundDetails,
    },
    /// The money of a refund has gone back.
    PaymentRefunded {
        /// The refund.
        refund: RefundDetails,
    },
    /// The money of a refund has not gone back and will not.
    PaymentRefundFailed {
        /// The refund.
        refund: RefundDetails,
        /// The reason.
        reason: RefundFailure,
    },
    /// The goods of a refund are available again.
    StockReturned {
        /// The refund.
        refund: RefundDetails,
    },
}

/// The name of an event, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "EventBody describes the variants of the same names")]
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
    PaymentCaptured,
    PaymentCaptureFailed,
    RefundRequested,
    PaymentRefunded,
    PaymentRefundFailed,
    StockReturned,
}

impl EventType {
    /// All events, in the order of the flow table.
    pub const ALL: [Self; 18] = [
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
        Self::PaymentCaptured,
        Self::PaymentCaptureFailed,
        Self::RefundRequested,
        Self::PaymentRefunded,
        Self::PaymentRefundFailed,
        Self::StockReturned,
    ];

    /// Returns its row of the flow table.
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
    /// Returns its name.
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
            Self::PaymentCaptured => EventType::PaymentCaptured,
            Self::PaymentCaptureFailed => EventType::PaymentCaptureFailed,
            Self::RefundRequested { .. } => EventType::RefundRequested,
            Self::PaymentRefunded { .. } => EventType::PaymentRefunded,
            Self::PaymentRefundFailed { .. } => EventType::PaymentRefundFailed,
            Self::StockReturned { .. } => EventType::StockReturned,
        }
    }

    /// Returns its reason, if events of its type have one.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::StockReservationFailed { reason, .. }
            | Self::PaymentFailed { reason }
            | Self::OrderFailed { reason } => Some(Reason::Failure(*reason)),
            Self::OrderCancelRequested { reason } => Some(Reason::Cancel(*reason)),
            Self::PaymentRefundFailed { reason, .. } => Some(Reason::Refund(*reason)),
            _ => None,
        }
    }

    /// Returns the refund that it is about, if it is about one.
    #[must_use]
    pub fn refund(&self) -> Option<&RefundDetails> {
        match self {
            Self::RefundRequested { refund }
            | Self::PaymentRefunded { refund }
            | Self::PaymentRefundFailed { refund, .. }
            | Self::StockReturned { refund } => Some(refund),
            _ => None,
        }
    }

    /// Returns the SKU that could not be held, if it says so.
    #[must_use]
    pub fn item_sku(&self) -> Option<&Sku> {
        match self {
            Self::StockReservationFailed { item_sku, .. } => Some(item_sku),
            _ => None,
        }
    }
}

/// The reason that an event states. The wire format is the name of the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reason {
    /// Why something failed.
    Failure(FailureReason),
    /// Why an order is cancelled.
    Cancel(CancelReason),
    /// Why a refund failed.
    Refund(RefundFailure),
}

/// Why an order failed. The wire format is `INSUFFICIENT_STOCK` and so on. A new reason needs a new version of the
/// events that contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// The available stock of an item is less than what was ordered.
    InsufficientStock,
    /// The item was never put in stock.
    UnknownItem,
    /// The payment gateway declined the payment.
    PaymentDeclined,
    /// The order did not end before its deadline.
    DeadlineExceeded,
}

impl FailureReason {
    /// Returns the reason as text, which is part of the REST contract.
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

/// Who requested the cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancelReason {
    /// The customer.
    Customer,
    /// The order itself, because its deadline has passed.
    Deadline,
}
