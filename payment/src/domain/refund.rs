//! The refunds of a payment. They are a list in the payment, so that the payment by itself keeps their sum at or below
//! what was captured.

use serde::{Deserialize, Serialize};
use shared_events::{EventBody, Lines, Money, RefundDetails, RefundFailure, RefundId, Timestamp};

use super::{Impossible, NewPayment, Payment, State, Task, Transition};

/// A refund: what was requested, which never changes, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refund {
    /// Its id, its amount and the goods that come back.
    pub details: RefundDetails,
    /// What has become of it.
    pub state: RefundState,
    /// The lines of the order, which the event about a late failure has to contain. `None` in rows of versions that did
    /// not store them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
}

/// What has become of a refund. It only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundState {
    /// The payment is yet to be captured, or the gateway has yet to give the amount back.
    Requested,
    /// The gateway has accepted it: it has given the amount back, or is going to.
    Refunded,
    /// Nothing has gone back, and nothing will; or it has come back from the customer's bank (`Reversed`).
    Failed {
        /// The reason.
        reason: RefundFailure,
        /// What the gateway says about it, if it has refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl Refund {
    /// Returns the events that answer its request, if it has ended. That it was accepted is said before that it has
    /// failed since, because inventory takes the goods back for that, and may have missed it.
    fn answers(&self) -> Vec<EventBody> {
        let was_accepted = matches!(self.state, RefundState::Failed { reason: RefundFailure::Reversed, .. });
        let accepted = was_accepted.then(|| EventBody::PaymentRefunded { refund: self.details.clone() });
        accepted.into_iter().chain(self.event()).collect()
    }

    /// Returns the event about its end, if it has ended.
    fn event(&self) -> Option<EventBody> {
        let refund = self.details.clone();
        match self.state {
            RefundState::Requested => None,
            RefundState::Refunded => Some(EventBody::PaymentRefunded { refund }),
            RefundState::Failed { reason, .. } => Some(EventBody::PaymentRefundFailed { refund, reason }),
        }
    }

    fn fail(&mut self, reason: RefundFailure, detail: Option<String>) -> Option<EventBody> {
        self.state = RefundState::Failed { reason, detail };
        self.event()
    }

    fn is_requested(&self) -> bool {
        self.state == RefundState::Requested
    }
}

impl Payment {
    /// Returns the refund with this id.
    #[must_use]
    pub fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.details.refund_id == id)
    }

    /// Returns the refund that the gateway is to be asked for, if the payment is captured: the oldest.
    #[must_use]
    pub fn next_refund(&self) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.is_requested())
    }

    /// Returns how much has gone back, if something has.
    #[must_use]
    pub fn refunded(&self) -> Option<Money> {
        let done = self.refunds.iter().filter(|refund| refund.state == RefundState::Refunded);
        Money::from_minor_units(sum(done), self.amount.currency()).ok()
    }

    /// Returns whether this amount may go back, besides what has gone back and what is to go back.
    fn has_left(&self, amount: Money) -> bool {
        let taken = sum(self.refunds.iter().filter(|refund| !matches!(refund.state, RefundState::Failed { .. })));
        amount.currency() == self.amount.currency()
            && taken.saturating_add(amount.minor_units()) <= self.amount.minor_units()
    }
}

fn sum<'a>(refunds: impl Iterator<Item = &'a Refund>) -> i64 {
    refunds.map(|refund| refund.details.amount.minor_units()).fold(0, i64::saturating_add)
}

/// Handles `RefundRequested`. A refund that is known is answered again if it has ended. A new one is recorded; `new`
/// becomes a tombstone if no payment is known, and then nothing can go back.
///
/// # Errors
/// If the event is about another order than the payment.
pub(super) fn refund_requested(
    known: Option<&Payment>,
    new: NewPayment,
    (details, lines): (&RefundDetails, &Lines),
    now: Timestamp,
) -> Result<Transition, Impossible> {
    if known.is_some_and(|payment| (payment.order_id, payment.amount) != (new.order_id, new.amount)) {
        return Err(Impossible::AnotherOrder);
    }
    if let Some(same) = known.and_then(|payment| payment.refund(details.refund_id)) {
        return Ok(Transition { payment: None, events: same.answers() });
    }
    let mut payment = known.cloned().unwrap_or_else(|| new.into_payment(State::Cancelled, now));
    let lines = Some(lines.clone());
    let mut refund = Refund { details: details.clone(), state: RefundState::Requested, lines };
    let exceeds = payment.state.may_be_captured() && !payment.has_left(details.amount);
    let event = if exceeds { refund.fail(RefundFailure::ExceedsCaptured, None) } else { None };
    payment.refunds.push(refund);
    payment.changed_at = now;
    Ok(Transition { payment: Some(payment), events: event.into_iter().collect() })
}

/// Handles what the gateway says about a refund. A late or second answer changes nothing.
pub(super) fn refund_answered(payment: &Payment, id: RefundId, state: &RefundState, now: Timestamp) -> Transition {
    let is_next = payment.next_refund().is_some_and(|next| next.details.refund_id == id);
    let mut payment = payment.clone();
    let refund = payment.refunds.iter_mut().find(|refund| refund.details.refund_id == id && refund.is_requested());
    let Some(refund) = refund else { return Transition::default() };
    refund.state = state.clone();
    let events = refund.event().into_iter().collect();
    if is_next {
        payment.task = None;
    }
    payment.changed_at = now;
    Transition { payment: Some(payment), events }
}

/// Handles that the gateway has accepted a refund and that it has failed since, as it says in `detail`. If the answer
/// that it was accepted is still under way, the refund has only failed. Idempotent; a repetition publishes the event
/// again, in case that it was lost.
#[must_use]
pub fn refund_reversed(payment: &Payment, id: RefundId, detail: &str, now: Timestamp) -> Transition {
    let Some(refund) = payment.refund(id) else { return Transition::default() };
    let failed = |reason| RefundState::Failed { reason, detail: Some(detail.to_owned()) };
    let transition = match refund.state {
        RefundState::Requested => refund_answered(payment, id, &failed(RefundFailure::Declined), now),
        RefundState::Refunded => {
            let mut payment = Payment { changed_at: now, ..payment.clone() };
            let reversed = payment.refunds.iter_mut().find(|refund| refund.details.refund_id == id);
            let event = reversed.and_then(|refund| refund.fail(RefundFailure::Reversed, Some(detail.to_owned())));
            Transition { payment: Some(payment), events: event.into_iter().collect() }
        }
        RefundState::Failed { reason: RefundFailure::Reversed, .. } => {
            Transition { payment: None, events: refund.event().into_iter().collect() }
        }
        RefundState::Failed { .. } => Transition::default(),
    };
    settle_refunds(transition, refund.lines.as_ref(), now)
}

/// Completes a transition: refunds of what will not be captured fail, and if the next one can go back, it becomes the
/// payment's task. `lines` are those of the order, for the event about it.
pub(super) fn settle_refunds(mut transition: Transition, lines: Option<&Lines>, now: Timestamp) -> Transition {
    let Some(payment) = &mut transition.payment else { return transition };
    if !payment.state.may_be_captured() {
        let open = payment.refunds.iter_mut().filter(|refund| refund.is_requested());
        transition.events.extend(open.filter_map(|refund| refund.fail(RefundFailure::NotCaptured, None)));
    }
    if payment.task.is_none() && payment.step().is_some() {
        payment.task = Some(Task::new(lines.cloned(), now));
    }
    transition
}

#[cfg(test)]
mod tests;
