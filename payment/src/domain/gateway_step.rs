//! What the gateway is asked about a payment, and what its answer changes.

use shared_events::{EventBody, FailureReason, RefundFailure, RefundId, Timestamp};

use super::{
    Payment, RefundState, State, Transition,
    refund::{refund_answered, settle_refunds},
};

/// What is to be asked of the gateway. It follows from the payment, so that nothing is lost with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Create the payment, to get its reference. Charges nothing.
    Prepare,
    /// Hold the amount.
    Authorize,
    /// Take the amount that is held.
    Capture,
    /// Give up the payment.
    Void,
    /// Give back the amount of this refund.
    Refund(RefundId),
}

/// The gateway's answer to a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To `Prepare`: the payment exists, and nothing is charged.
    Prepared {
        /// The gateway's reference.
        reference: String,
    },
    /// To `Authorize`: the amount is held.
    Authorized,
    /// To `Prepare` or `Authorize`: nothing is held, and nothing will be.
    Declined {
        /// The reason, as reported by the gateway.
        reason: String,
    },
    /// To `Capture`: the amount is taken.
    Captured {
        /// The gateway's reference of the captured payment.
        reference: String,
    },
    /// To `Capture`: the amount is not taken, and never will be.
    CaptureFailed {
        /// The reason, as reported by the gateway.
        reason: String,
    },
    /// To `Void`: nothing is held, and nothing will be.
    Voided,
    /// To `Refund`: the amount has gone back.
    Refunded(RefundId),
    /// To `Refund`: nothing has gone back, and nothing will.
    RefundRefused {
        /// The refund.
        refund_id: RefundId,
        /// The reason.
        reason: RefundFailure,
        /// The reason, as reported by the gateway.
        detail: String,
    },
}

impl Payment {
    /// Returns what is to be asked of the gateway; `None` if nothing is.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        match (&self.state, &self.reference) {
            (State::Requested, None) => Some(Step::Prepare),
            (State::Requested, Some(_)) => Some(Step::Authorize),
            // A charge always has a reference in its row, so without one there is nothing to capture or to void.
            (State::Capturing, Some(_)) => Some(Step::Capture),
            (State::Voiding, Some(_)) => Some(Step::Void),
            (State::Captured, Some(_)) => self.next_refund().map(|refund| Step::Refund(refund.details.refund_id)),
            (State::Capturing | State::Captured | State::Voiding, None)
            | (
                State::Authorized | State::CaptureFailed(_) | State::Declined(_) | State::Voided | State::Cancelled,
                _,
            ) => None,
        }
    }
}

/// Decides what an answer changes. Answers may be late and may come twice: one that the payment does not wait for any
/// more changes nothing.
#[must_use]
pub fn on_answer(payment: &Payment, answer: &Answer, now: Timestamp) -> Transition {
    let transition = match (payment.step(), answer) {
        (Some(Step::Prepare), Answer::Prepared { reference }) => {
            let lines = payment.task.as_ref().and_then(|task| task.lines.clone());
            let payment = payment.with(State::Requested, Some(super::Task::new(lines, now)), payment.changed_at);
            Transition::silent(Payment { reference: Some(reference.clone()), ..payment })
        }
        (Some(Step::Authorize), Answer::Authorized) => {
            Transition::of(payment.with(State::Authorized, None, now), EventBody::PaymentAuthorized)
        }
        (Some(Step::Prepare | Step::Authorize), Answer::Declined { reason }) => {
            let declined = payment.with(State::Declined(reason.clone()), None, now);
            Transition::of(declined, EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined })
        }
        (Some(Step::Capture), Answer::Captured { reference }) => {
            let captured = payment.with(State::Captured, None, now);
            let captured = Payment { reference: Some(reference.clone()), ..captured };
            Transition::of(captured, EventBody::PaymentCaptured)
        }
        (Some(Step::Capture), Answer::CaptureFailed { reason }) => {
            let failed = payment.with(State::CaptureFailed(reason.clone()), None, now);
            Transition::of(failed, EventBody::PaymentCaptureFailed)
        }
        (Some(Step::Void), Answer::Voided) => {
            Transition::of(payment.with(State::Voided, None, now), EventBody::PaymentVoided)
        }
        (_, Answer::Refunded(id)) => refund_answered(payment, *id, &RefundState::Refunded, now),
        (_, Answer::RefundRefused { refund_id, reason, detail }) => {
            let state = RefundState::Failed { reason: *reason, detail: Some(detail.clone()) };
            refund_answered(payment, *refund_id, &state, now)
        }
        _ => Transition::default(),
    };
    let lines = payment.task.as_ref().and_then(|task| task.lines.as_ref());
    settle_refunds(transition, lines, now)
}
