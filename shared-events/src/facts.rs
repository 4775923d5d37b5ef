//! What the events say about an order, and the status that follows from it: pure functions, which the order service
//! decides by, and which others may use to know what an order waits for.

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

/// Everything that is known about an order. Its status depends on nothing else, and not on the capture: an order is
/// `CONFIRMED` before its payment is captured, and stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Facts {
    /// About its stock.
    pub stock: Stock,
    /// About its payment.
    pub payment: Payment,
    /// About its cancellation.
    pub cancel: Cancel,
    /// About the capture of its payment.
    pub capture: Capture,
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

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not decided yet.
    Pending,
    /// Being undone; not final yet.
    Compensating,
    /// Final: it is paid, and its stock is sold.
    Confirmed,
    /// Final: nothing is held and nothing is paid.
    Failed,
    /// Final, cancelled by the customer: nothing is held and nothing is paid.
    Cancelled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Compensating, Self::Confirmed, Self::Failed, Self::Cancelled];

    /// Returns its name in REST and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Compensating => "COMPENSATING",
            Self::Confirmed => "CONFIRMED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Returns whether the status is final: no later fact changes it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The status of an order's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// Not decided yet.
    Pending,
    /// Authorized.
    Succeeded,
    /// Declined.
    Failed,
    /// Voided: nothing is authorized any more.
    Voided,
    /// Never requested.
    NotAttempted,
}

impl PaymentStatus {
    /// Returns its name in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Voided => "VOIDED",
            Self::NotAttempted => "NOT_ATTEMPTED",
        }
    }
}

impl Facts {
    /// Returns these facts with `fact` added. Learning a fact twice, or two facts in the other order, gives the same
    /// result.
    #[must_use]
    pub fn learn(mut self, fact: Fact) -> Self {
        match fact {
            Fact::Stock(stock) => self.stock = self.stock.max(stock),
            Fact::Payment(payment) => self.payment = self.payment.max(payment),
            Fact::Capture(capture) => self.capture = self.capture.max(capture),
        }
        self
    }

    /// Returns the status of an order with these facts.
    #[must_use]
    pub fn status(&self) -> Status {
        let stock_is_gone = matches!(self.stock, Stock::Released | Stock::Rejected(_));
        let payment_is_gone = matches!(self.payment, Payment::Voided | Payment::Declined(_));
        match (self.cancel, self.stock, self.payment) {
            (Cancel::Requested(CancelReason::Customer), _, _) if stock_is_gone && payment_is_gone => Status::Cancelled,
            (Cancel::Requested(CancelReason::Deadline), _, _) if stock_is_gone && payment_is_gone => Status::Failed,
            (Cancel::Requested(_), _, _) => Status::Compensating,
            (Cancel::No, Stock::Rejected(_), _) => Status::Failed,
            (Cancel::No, Stock::Released, Payment::Declined(_)) => Status::Failed,
            (Cancel::No, _, Payment::Declined(_)) => Status::Compensating,
            (Cancel::No, Stock::Reserved, Payment::Authorized) => Status::Confirmed,
            // Includes what only a loss of data can cause, such as a release without a request: the deadline ends it.
            (Cancel::No, _, _) => Status::Pending,
        }
    }

    /// Returns whether an order with these facts is confirmed, and it is not known yet whether its payment is captured.
    #[must_use]
    pub fn awaits_capture(&self) -> bool {
        self.status() == Status::Confirmed && self.capture == Capture::Unknown
    }

    /// Returns the event that is published when an order ends with these facts, or `None` if it does not end.
    #[must_use]
    pub fn final_event(&self) -> Option<EventBody> {
        match self.status() {
            Status::Confirmed => Some(EventBody::OrderConfirmed),
            Status::Cancelled => Some(EventBody::OrderCancelled),
            Status::Failed => {
                let reason = self.failure_reason().unwrap_or(FailureReason::DeadlineExceeded);
                Some(EventBody::OrderFailed { reason })
            }
            Status::Pending | Status::Compensating => None,
        }
    }

    /// Returns the payment status of an order with these facts.
    #[must_use]
    pub fn payment_status(&self) -> PaymentStatus {
        match (self.payment, self.stock) {
            (Payment::Authorized, _) => PaymentStatus::Succeeded,
            (Payment::Declined(_), _) => PaymentStatus::Failed,
            // Payment is requested only once the stock is reserved.
            (_, Stock::Rejected(_)) => PaymentStatus::NotAttempted,
            (Payment::Voided, _) => PaymentStatus::Voided,
            (Payment::Unknown, _) => PaymentStatus::Pending,
        }
    }

    /// Returns why an order with these facts has failed, or `None` if it has not.
    #[must_use]
    pub fn failure_reason(&self) -> Option<FailureReason> {
        if self.status() != Status::Failed {
            return None;
        }
        Some(match (self.stock, self.payment) {
            (Stock::Rejected(reason), _) | (_, Payment::Declined(reason)) => reason,
            _ => FailureReason::DeadlineExceeded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCKS: [Stock; 5] = [
        Stock::Unknown,
        Stock::Reserved,
        Stock::Released,
        Stock::Rejected(FailureReason::InsufficientStock),
        Stock::Rejected(FailureReason::UnknownItem),
    ];
    const PAYMENTS: [Payment; 4] =
        [Payment::Unknown, Payment::Authorized, Payment::Voided, Payment::Declined(FailureReason::PaymentDeclined)];
    const CANCELS: [Cancel; 3] =
        [Cancel::No, Cancel::Requested(CancelReason::Customer), Cancel::Requested(CancelReason::Deadline)];
    const CAPTURES: [Capture; 3] = [Capture::Unknown, Capture::Failed, Capture::Captured];

    fn every_combination() -> impl Iterator<Item = Facts> {
        let all = STOCKS.into_iter().flat_map(|stock| PAYMENTS.into_iter().map(move |payment| (stock, payment)));
        let all = all.flat_map(|both| CANCELS.into_iter().map(move |cancel| (both, cancel)));
        all.flat_map(|((stock, payment), cancel)| {
            CAPTURES.into_iter().map(move |capture| Facts { stock, payment, cancel, capture })
        })
    }

    /// The table of `docs/saga.md`, implemented a second time and differently: the first row that matches counts.
    fn table(facts: Facts) -> Status {
        let live_stock = facts.stock < Stock::Released;
        let live_payment = facts.payment < Payment::Voided;
        let declined = matches!(facts.payment, Payment::Declined(_));
        if facts.cancel != Cancel::No {
            return match facts.cancel {
                _ if live_stock || live_payment => Status::Compensating,
                Cancel::Requested(CancelReason::Customer) => Status::Cancelled,
                _ => Status::Failed,
            };
        }
        if matches!(facts.stock, Stock::Rejected(_)) {
            Status::Failed
        } else if facts.stock == Stock::Reserved && facts.payment == Payment::Authorized {
            Status::Confirmed
        } else if declined && live_stock {
            Status::Compensating
        } else if declined {
            Status::Failed
        } else {
            Status::Pending
        }
    }

    #[test]
    fn the_status_follows_the_table_for_every_combination_of_facts() {
        assert_eq!(every_combination().count(), 180);
        for facts in every_combination() {
            assert_eq!(facts.status(), table(facts), "{facts:?}");
        }
    }

    #[test]
    fn the_order_of_arrival_and_duplicates_do_not_matter() {
        let all = STOCKS.into_iter().map(Fact::Stock).chain(PAYMENTS.into_iter().map(Fact::Payment));
        let all: Vec<Fact> = all.chain(CAPTURES.into_iter().map(Fact::Capture)).collect();
        for facts in every_combination() {
            for &one in &all {
                assert_eq!(facts.learn(one).learn(one), facts.learn(one));
                assert!(facts.learn(one) >= facts, "facts only move forward");
                for &other in &all {
                    assert_eq!(facts.learn(one).learn(other), facts.learn(other).learn(one));
                }
            }
        }
    }

    #[test]
    fn what_is_known_about_the_capture_changes_neither_status_nor_payment_status() {
        for facts in every_combination() {
            let without = Facts { capture: Capture::Unknown, ..facts };
            assert_eq!(
                (facts.status(), facts.payment_status(), facts.failure_reason(), facts.final_event()),
                (without.status(), without.payment_status(), without.failure_reason(), without.final_event())
            );
            assert_eq!(facts.awaits_capture(), facts == without && facts.status() == Status::Confirmed, "{facts:?}");
        }
    }

    #[test]
    fn a_failed_or_cancelled_order_has_nothing_held_or_paid() {
        for facts in every_combination().filter(|facts| matches!(facts.status(), Status::Failed | Status::Cancelled)) {
            assert_ne!(facts.stock, Stock::Reserved, "{facts:?}");
            // The stock is reserved before the payment: if it was rejected, only a forged event can report a payment.
            if !matches!(facts.stock, Stock::Rejected(_)) {
                assert_ne!(facts.payment, Payment::Authorized, "{facts:?}");
            }
            assert_eq!(facts.failure_reason().is_some(), facts.status() == Status::Failed, "{facts:?}");
        }
    }

    #[test]
    fn the_payment_status_follows_the_table() {
        let of = |stock, payment, cancel| Facts { stock, payment, cancel, ..Facts::default() }.payment_status();
        let rejected = Stock::Rejected(FailureReason::InsufficientStock);
        let declined = Payment::Declined(FailureReason::PaymentDeclined);
        let cancelled = Cancel::Requested(CancelReason::Customer);
        assert_eq!(of(Stock::Unknown, Payment::Unknown, Cancel::No), PaymentStatus::Pending);
        assert_eq!(of(rejected, Payment::Unknown, Cancel::No), PaymentStatus::NotAttempted);
        assert_eq!(of(Stock::Reserved, Payment::Authorized, Cancel::No), PaymentStatus::Succeeded);
        assert_eq!(of(Stock::Reserved, declined, Cancel::No), PaymentStatus::Failed);
        assert_eq!(of(Stock::Released, declined, Cancel::No), PaymentStatus::Failed);
        assert_eq!(of(Stock::Released, Payment::Voided, cancelled), PaymentStatus::Voided);
        assert_eq!(of(rejected, Payment::Voided, cancelled), PaymentStatus::NotAttempted);
    }
}
