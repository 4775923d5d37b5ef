use std::fmt;

use crate::{CancelReason, EventBody, FailureReason};

/// What is known about an order's stock. It only moves forward: learning a fact keeps the greater of the two, so the
/// order of arrival does not matter. `Rejected` is the greatest because the `StockReleased` that answers a cancellation
/// may overtake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stock {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Every line is held.
    Reserved,
    /// Nothing is held any more.
    Released,
    /// Nothing was ever held, for this reason.
    Rejected(FailureReason),
}

/// What is known about an order's payment. Like [`Stock`], it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Payment {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// The amount is authorized.
    Authorized,
    /// Nothing is authorized any more.
    Voided,
    /// Nothing was ever authorized, for this reason.
    Declined(FailureReason),
}

/// What is known about the capture of an order's payment. Like [`Stock`], it only moves forward. `Captured` is the
/// greatest because an amount that was taken stays taken, whatever failed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Capture {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// The amount cannot be taken.
    Failed,
    /// The amount is taken.
    Captured,
}

impl Capture {
    /// Returns its name in REST and in the database; `None` if nothing is known.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Failed => Some("FAILED"),
            Self::Captured => Some("CAPTURED"),
        }
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Reserved => f.write_str("reserved"),
            Self::Released => f.write_str("released"),
            Self::Rejected(reason) => write!(f, "rejected ({})", reason.detail()),
        }
    }
}

impl fmt::Display for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Authorized => f.write_str("authorized"),
            Self::Voided => f.write_str("voided"),
            Self::Declined(_) => f.write_str("declined"),
        }
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Failed => "capture failed",
            Self::Captured => "captured",
        })
    }
}

/// Whether a cancellation of the order was requested. The first request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Cancel {
    /// It was not requested.
    #[default]
    No,
    /// It was requested, for this reason.
    Requested(CancelReason),
}

/// A fact that another service has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// About the stock.
    Stock(Stock),
    /// About the payment.
    Payment(Payment),
    /// About the capture of the payment.
    Capture(Capture),
}

impl Fact {
    /// Returns the fact that an event states, or `None` if it states none.
    #[must_use]
    pub fn of(event: &EventBody) -> Option<Self> {
        match event {
            EventBody::StockReserved => Some(Self::Stock(Stock::Reserved)),
            EventBody::StockReservationFailed { reason, .. } => Some(Self::Stock(Stock::Rejected(*reason))),
            EventBody::StockReleased => Some(Self::Stock(Stock::Released)),
            EventBody::PaymentAuthorized => Some(Self::Payment(Payment::Authorized)),
            EventBody::PaymentFailed { reason } => Some(Self::Payment(Payment::Declined(*reason))),
            EventBody::PaymentVoided => Some(Self::Payment(Payment::Voided)),
            EventBody::PaymentCaptured => Some(Self::Capture(Capture::Captured)),
            EventBody::PaymentCaptureFailed => Some(Self::Capture(Capture::Failed)),
            EventBody::OrderCreated
            | EventBody::OrderConfirmed
            | EventBody::OrderFailed { .. }
            | EventBody::OrderCancelled
            | EventBody::OrderCancelRequested { .. }
            | EventBody::StockHoldOverdue
            | EventBody::RefundRequested { .. }
            | EventBody::PaymentRefunded { .. }
            | EventBody::PaymentRefundFailed { .. }
            | EventBody::StockReturned { .. } => None,
        }
    }
}
