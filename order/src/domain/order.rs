use std::time::Duration;

use shared_events::{
    CancelReason, Event, EventBody, Lines, Money, OrderDetails, OrderId, PaymentMethod, SagaId, Timestamp,
};

use super::{Cancel, Fact, Facts, IdempotencyKey, Status};

/// An order: what was requested, which never changes, and what is known about it so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Its id, lines and total.
    pub details: OrderDetails,
    /// The id of its saga.
    pub saga_id: SagaId,
    /// The customer that it belongs to: the owner of the API key with which it was placed; empty if there was none.
    pub owner: String,
    /// The idempotency key of the request that placed it. It is one only together with the owner.
    pub idempotency_key: Option<IdempotencyKey>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When one of the facts that its status depends on last changed: once it has ended, when it ended.
    pub changed_at: Timestamp,
    /// What is known about it.
    pub facts: Facts,
    /// When it is due: at its deadline, and later to repeat what has not been answered: its cancellation, or its
    /// confirmation. `None` once it has ended and, if it is confirmed, it is known what became of the capture; also if
    /// a version confirmed it that did not wait for that.
    pub wake_at: Option<Timestamp>,
    /// How often its cancellation or confirmation was repeated.
    pub repeats: u32,
    /// How much of it has gone back to the customer, in minor units of its currency.
    pub refunded: i64,
    /// 1 when it is placed, and one more with each change that is saved: the greater of two versions is the newer.
    pub version: i64,
}

/// The request for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// The id of its saga.
    pub saga_id: SagaId,
    /// The customer that it will belong to; empty for none.
    pub owner: String,
    /// The ordered lines.
    pub lines: Lines,
    /// The amount to pay.
    pub total: Money,
    /// How it is to be paid, if the client says so.
    pub payment_method: Option<PaymentMethod>,
    /// The idempotency key of the request.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// The longest pause before an unanswered confirmation is repeated.
const LONGEST_CONFIRMATION_PAUSE: Duration = Duration::from_secs(3_600);

/// When an order is cancelled automatically, and how often an unanswered cancellation is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelPolicy {
    /// How long after its placement an order is cancelled if it has not ended. If it is confirmed then, and it is not
    /// known what became of the capture, its confirmation is repeated.
    pub deadline: Duration,
    /// The first pause before an unanswered cancellation is repeated; each next pause is twice as long.
    pub first_repeat: Duration,
    /// The longest such pause. It, or the deadline if that is shorter, is also the first pause before an unanswered
    /// confirmation is repeated again; each next one is twice as long, up to an hour.
    pub longest_repeat: Duration,
}

impl CancelPolicy {
    /// Returns the pause before an unanswered request is repeated that was repeated this often before.
    #[must_use]
    pub fn pause(&self, repeats: u32) -> Duration {
        self.first_repeat.saturating_mul(2_u32.saturating_pow(repeats)).min(self.longest_repeat)
    }
}

/// The order is confirmed, so it cannot be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyConfirmed;

impl Order {
    /// Creates an order and its `OrderCreated`.
    #[must_use]
    pub fn place(new: NewOrder, order_id: OrderId, now: Timestamp, cancel_policy: &CancelPolicy) -> (Self, Event) {
        let NewOrder { saga_id, owner, lines, total, payment_method, idempotency_key } = new;
        let order = Self {
            details: OrderDetails { order_id, lines, total, payment_method },
            saga_id,
            owner,
            idempotency_key,
            placed_at: now,
            changed_at: now,
            facts: Facts::default(),
            wake_at: Some(now.after(cancel_policy.deadline)),
            repeats: 0,
            refunded: 0,
            version: 1,
        };
        let created = order.event(EventBody::OrderCreated);
        (order, created)
    }

    /// Returns whether the order has the content of this request.
    #[must_use]
    pub fn has_content_of(&self, new: &NewOrder) -> bool {
        // Every field is named, so that the compiler asks about a new one.
        let NewOrder { saga_id: _, owner: _, lines, total, payment_method, idempotency_key: _ } = new;
        let OrderDetails { order_id: _, lines: known_lines, total: known_total, payment_method: known_method } =
            &self.details;
        (known_lines, known_total, known_method) == (lines, total, payment_method)
    }

    /// Returns whether a caller may see and change it who may see the orders of `owner` only; of all, if it is `None`.
    #[must_use]
    pub fn is_visible_to(&self, owner: Option<&str>) -> bool {
        owner.is_none_or(|owner| self.owner == owner)
    }

    /// Returns its status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.facts.status()
    }

    /// Returns how much of it has gone back to the customer, if something has.
    #[must_use]
    pub fn refunded(&self) -> Option<Money> {
        Money::from_minor_units(self.refunded, self.details.total.currency()).ok()
    }

    /// Learns a fact, and returns the events to publish. An order that has ended does not change, except that a
    /// confirmed one learns what became of the capture.
    pub fn learn(&mut self, fact: Fact, now: Timestamp) -> Vec<Event> {
        self.change(self.facts.learn(fact), now)
    }

    /// Requests the cancellation for the customer, and returns the events to publish. If the order is already being
    /// cancelled, was cancelled or has failed, nothing changes.
    ///
    /// # Errors
    /// If the order is confirmed.
    pub fn cancel(&mut self, now: Timestamp, cancel_policy: &CancelPolicy) -> Result<Vec<Event>, AlreadyConfirmed> {
        match self.status() {
            Status::Confirmed => Err(AlreadyConfirmed),
            Status::Pending => Ok(self.request_cancel(CancelReason::Customer, now, cancel_policy)),
            Status::Compensating | Status::Failed | Status::Cancelled => Ok(Vec::new()),
        }
    }

    /// Called by the timer. If the order is due, its cancellation is requested, or what has not been answered is
    /// repeated. Returns the events to publish.
    pub fn wake(&mut self, now: Timestamp, cancel_policy: &CancelPolicy) -> Vec<Event> {
        if self.facts.awaits_capture() && self.wake_at.is_none_or(|at| at <= now) {
            let first = cancel_policy.longest_repeat.min(cancel_policy.deadline);
            let pause = first.saturating_mul(2_u32.saturating_pow(self.repeats));
            self.wake_at = Some(now.after(pause.min(LONGEST_CONFIRMATION_PAUSE)));
            self.repeats = self.repeats.saturating_add(1);
            return vec![self.event(EventBody::OrderConfirmed)];
        }
        match (self.wake_at, self.facts.cancel) {
            (Some(at), _) if at > now => Vec::new(),
            (None, _) => Vec::new(),
            (Some(_), Cancel::No) => self.request_cancel(CancelReason::Deadline, now, cancel_policy),
            (Some(_), Cancel::Requested(reason)) => {
                self.repeats = self.repeats.saturating_add(1);
                self.wait_for_answers(now, cancel_policy);
                vec![self.event(EventBody::OrderCancelRequested { reason })]
            }
        }
    }

    /// Returns the event with the last decision about the order, which is published again if its stock is held for too
    /// long; `None` if there is no decision yet.
    #[must_use]
    pub fn outcome_event(&self) -> Option<Event> {
        let body = match (self.status(), self.facts.cancel) {
            (Status::Confirmed, _) => EventBody::OrderConfirmed,
            (_, Cancel::Requested(reason)) => EventBody::OrderCancelRequested { reason },
            // It failed because of its payment, and its stock is still held: an event was lost.
            (Status::Failed, Cancel::No) => EventBody::OrderCancelRequested { reason: CancelReason::Deadline },
            // Not decided yet: the deadline will decide.
            (Status::Pending | Status::Compensating | Status::Cancelled, Cancel::No) => return None,
        };
        Some(self.event(body))
    }

    /// Returns the event that requests the cancellation of an order that this database does not know.
    #[must_use]
    pub fn event_for_unknown_order(saga_id: SagaId, order: OrderDetails) -> Event {
        Event { saga_id, order, body: EventBody::OrderCancelRequested { reason: CancelReason::Deadline } }
    }

    fn request_cancel(&mut self, reason: CancelReason, now: Timestamp, cancel_policy: &CancelPolicy) -> Vec<Event> {
        let mut events = self.change(Facts { cancel: Cancel::Requested(reason), ..self.facts }, now);
        if !self.status().is_terminal() {
            self.wait_for_answers(now, cancel_policy);
            events.push(self.event(EventBody::OrderCancelRequested { reason }));
        }
        events
    }

    fn wait_for_answers(&mut self, now: Timestamp, cancel_policy: &CancelPolicy) {
        self.wake_at = Some(now.after(cancel_policy.pause(self.repeats)));
    }

    /// Sets the facts, and returns the final event if the order ends with them.
    fn change(&mut self, facts: Facts, now: Timestamp) -> Vec<Event> {
        let before = self.status();
        let is_about_capture = facts == Facts { capture: facts.capture, ..self.facts };
        let may_change = !before.is_terminal() || (before == Status::Confirmed && is_about_capture);
        if facts == self.facts || !may_change {
            return Vec::new();
        }
        self.facts = facts;
        if !before.is_terminal() {
            self.changed_at = now;
        }
        let end = facts.final_event();
        // Otherwise the order stays due at its deadline.
        if end.is_some() && !facts.awaits_capture() {
            self.wake_at = None;
        }
        end.filter(|_| !before.is_terminal()).map(|end| self.event(end)).into_iter().collect()
    }

    fn event(&self, body: EventBody) -> Event {
        Event { saga_id: self.saga_id, order: self.details.clone(), body }
    }
}

#[cfg(test)]
mod tests;
