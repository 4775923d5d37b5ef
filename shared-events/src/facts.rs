//! What the events say about an order, and the status that follows from it: pure functions, which the order service
//! decides by, and which others may use to know what an order waits for.

mod fact;
mod status;

use crate::{CancelReason, EventBody, FailureReason};

pub use fact::{Cancel, Capture, Fact, Payment, Stock};
pub use status::{PaymentStatus, Status};

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
mod tests;
