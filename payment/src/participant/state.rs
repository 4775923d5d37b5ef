//! The state of one batch, and the decisions about it.

use std::collections::HashMap;

use saga_database::WorkingSet;
use saga_runtime::{Decision, Unacceptable};
use shared_events::{Envelope, Event, EventBody, OrderDetails, OwnedKey, RefundId, SagaId, Timestamp};

use super::{Budget, Payments};
use crate::{
    commands::{AuthorizeReply, AuthorizeRequest, Command},
    domain::{
        NewPayment, Payment, PaymentId, Purpose, State as PaymentState, Step, Task, Transition, on_answer, on_event,
        refund_reversed, requested,
    },
    gateway::{Allowed, Asked, Calls, FailedRefund, Question, Reference},
    metrics::Captures,
};

/// The payments that a batch reads and changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) payments: WorkingSet<PaymentId, Payment>,
    by_saga: HashMap<SagaId, PaymentId>,
    by_key: HashMap<OwnedKey, PaymentId>,
    by_refund: HashMap<RefundId, PaymentId>,
    due: Vec<PaymentId>,
    new_ids: std::vec::IntoIter<PaymentId>,
    budget: Budget,
    /// Whether the batch has a tick.
    pub(super) is_tick: bool,
    /// What became of captures in the batch.
    pub(super) captures: Captures,
}

impl State {
    pub(super) fn new(loaded: Vec<Payment>, due: Vec<PaymentId>, new_ids: Vec<PaymentId>, budget: Budget) -> Self {
        let mut state = Self {
            payments: WorkingSet::loaded([]),
            by_saga: HashMap::new(),
            by_key: HashMap::new(),
            by_refund: HashMap::new(),
            due,
            new_ids: new_ids.into_iter(),
            budget,
            is_tick: false,
            captures: Captures::default(),
        };
        loaded.iter().for_each(|payment| state.remember(payment));
        state.payments = WorkingSet::loaded(loaded.into_iter().map(|payment| (payment.payment_id, payment)));
        state
    }

    /// Handles an event of a saga.
    pub(super) fn event(
        &mut self,
        calls: &Calls,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<Decision<Payments>, Unacceptable> {
        let event = &envelope.event;
        let known = self.by_saga.get(&event.saga_id).and_then(|id| self.payments.get(id));
        let new_id = match known {
            Some(payment) => payment.payment_id,
            None => self.next_id()?,
        };
        let known = self.payments.get(&new_id);
        let transition =
            on_event(known, event, new_id, now).map_err(|impossible| Unacceptable(impossible.to_string()))?;
        let Transition { payment, events: bodies } = transition;
        let failed_before = known.is_some_and(|payment| matches!(payment.state, PaymentState::CaptureFailed(_)));
        if bodies.contains(&EventBody::PaymentCaptureFailed) && !failed_before {
            self.captures.failed += 1;
            tracing::warn!(
                order.id = event.order.order_id.0, saga.id = %event.saga_id,
                state = known.map_or("missing", |payment| payment.state.as_str()),
                "an order is confirmed, but its payment is not authorized, so it cannot be captured"
            );
        }
        let is_asked = payment.is_some();
        let mut events: Vec<Event> = bodies.into_iter().map(|body| Event { body, ..event.clone() }).collect();
        if let Some(payment) = payment {
            self.put(payment);
        }
        let follow_ups = if is_asked { self.ask(calls, new_id, &mut events, now) } else { Vec::new() };
        Ok(Decision { follow_ups, ..Decision::publish(events) })
    }

    /// Handles a client's request for an authorization.
    pub(super) fn request(
        &mut self,
        calls: &Calls,
        request: &AuthorizeRequest,
        now: Timestamp,
    ) -> Result<(AuthorizeReply, Vec<Command>), Unacceptable> {
        let AuthorizeRequest { key, order_id, amount, ref idempotency_key } = *request;
        let same_key = idempotency_key.as_ref().and_then(|key| self.by_key.get(key));
        if let Some(known) = same_key.and_then(|id| self.payments.get(id)) {
            let same = known.order_id == order_id && known.amount == amount;
            let reply = || AuthorizeReply::Payment(Box::new(known.clone()));
            return Ok((if same { reply() } else { AuthorizeReply::KeyReused }, Vec::new()));
        }
        let payment_id = self.next_id()?;
        let purpose = Purpose::Client { key: Some(key), idempotency_key: idempotency_key.clone() };
        let payment = requested(NewPayment { payment_id, purpose, order_id, amount }, Task::new(None, now), now);
        self.put(payment.clone());
        let follow_ups = self.ask(calls, payment_id, &mut Vec::new(), now);
        let payment = self.payments.get(&payment_id).cloned().unwrap_or(payment);
        Ok((AuthorizeReply::Payment(Box::new(payment)), follow_ups))
    }

    /// Handles what came of asking the gateway.
    pub(super) fn answered(
        &mut self,
        calls: &Calls,
        id: PaymentId,
        step: Step,
        asked: &Asked,
        now: Timestamp,
    ) -> Decision<Payments> {
        let mut events = Vec::new();
        self.apply(id, step, asked, &mut events, now);
        let goes_on = matches!(asked, Asked::Answer(_));
        let follow_ups = if goes_on { self.ask(calls, id, &mut events, now) } else { Vec::new() };
        Decision { follow_ups, ..Decision::publish(events) }
    }

    /// Handles that the gateway has accepted these refunds of a payment, and that they have failed since.
    pub(super) fn refunds_reversed(
        &mut self,
        calls: &Calls,
        reference: &Reference,
        refunds: &[FailedRefund],
        now: Timestamp,
    ) -> Decision<Payments> {
        let (mut events, mut follow_ups) = (Vec::new(), Vec::new());
        for FailedRefund { key, reason } in refunds {
            let id = RefundId(key.0);
            let payment = self.by_refund.get(&id).and_then(|payment_id| self.payments.get(payment_id));
            let is_it = |payment: &&Payment| payment.reference.as_ref() == Some(&reference.0);
            let Some(payment) = payment.filter(is_it) else { continue };
            let (payment_id, order) = (payment.payment_id, payment.order_of_refund(id));
            let Transition { payment: changed, events: bodies } = refund_reversed(payment, id, reason, now);
            if changed.is_some() {
                tracing::warn!(
                    order.id = payment.order_id.0, refund.id = %id, reason, "a refund has failed at the gateway"
                );
            }
            events.extend(bodies.into_iter().filter_map(|body| event_of(payment, body, order.as_ref())));
            if let Some(changed) = changed {
                self.put(changed);
                follow_ups.append(&mut self.ask(calls, payment_id, &mut events, now));
            }
        }
        Decision { follow_ups, ..Decision::publish(events) }
    }

    /// Asks about the payments that are due, or sends a probe if that is all that is allowed.
    pub(super) fn ask_about_due(&mut self, calls: &Calls, now: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.budget.allowed == Allowed::Probe {
            self.budget.allowed = Allowed::Nothing;
            calls.probed();
            commands.push(Command::Probe);
        }
        for id in std::mem::take(&mut self.due) {
            // An earlier input of the batch may have changed it.
            if let Some(question) = self.question(id, now) {
                self.take(calls, id, now);
                commands.push(Command::Ask(id, question));
            }
        }
        commands
    }

    /// Asks the gateway about a payment that needs it: at once, if it answers without I/O, otherwise by a command. If
    /// too much is being asked already, the payment waits until it is taken.
    fn ask(&mut self, calls: &Calls, id: PaymentId, events: &mut Vec<Event>, now: Timestamp) -> Vec<Command> {
        let may_ask_at_once = calls.is_immediate() && self.budget.allowed == Allowed::Payments;
        while let Some(question) = self.question(id, now) {
            if may_ask_at_once {
                let asked = calls.ask_at_once(&question);
                self.apply(id, question.step, &asked, events, now);
                if let Asked::Answer(_) = asked {
                    continue;
                }
                break;
            }
            if self.budget.payments == 0 {
                break;
            }
            self.budget.payments -= 1;
            self.take(calls, id, now);
            return vec![Command::Ask(id, question)];
        }
        Vec::new()
    }

    /// Returns what is to be asked about a payment now. Nothing is, if that is being asked already.
    fn question(&self, id: PaymentId, now: Timestamp) -> Option<Question> {
        let is_due = |payment: &&Payment| payment.task.as_ref().is_some_and(|task| task.due_at <= now);
        self.payments.get(&id).filter(is_due).and_then(Question::about)
    }

    /// Applies an answer, or postpones the payment if there was none.
    fn apply(&mut self, id: PaymentId, step: Step, asked: &Asked, events: &mut Vec<Event>, now: Timestamp) {
        let Some(payment) = self.payments.get(&id) else { return };
        match asked {
            Asked::Answer(answer) => {
                let order = payment.order();
                let Transition { payment: changed, events: bodies } = on_answer(payment, answer, now);
                for body in bodies {
                    match body {
                        EventBody::PaymentCaptured => self.captures.captured += 1,
                        EventBody::PaymentCaptureFailed => self.captures.failed += 1,
                        _ => {}
                    }
                    events.extend(event_of(payment, body, order.as_ref()));
                }
                if let Some(changed) = changed {
                    self.put(changed);
                }
            }
            Asked::Later { pause, not_done } => {
                let Some(task) = payment.task.as_ref().filter(|_| payment.step() == Some(step)) else { return };
                let unanswered = if *not_done { 0 } else { task.unanswered.max(1) };
                let attempts = task.attempts.max(1);
                let task = Task { due_at: now.after(*pause), attempts, unanswered, ..task.clone() };
                self.put(Payment { task: Some(task), ..payment.clone() });
            }
        }
    }

    /// Records that the gateway is being asked about a payment.
    fn take(&mut self, calls: &Calls, id: PaymentId, now: Timestamp) {
        if let Some(task) = self.payments.change(&id).and_then(|payment| payment.task.as_mut()) {
            task.due_at = now.after(calls.lease());
            task.attempts = task.attempts.saturating_add(1);
            task.unanswered = task.unanswered.saturating_add(1);
        }
    }

    fn put(&mut self, payment: Payment) {
        self.remember(&payment);
        self.payments.put(payment.payment_id, payment);
    }

    fn remember(&mut self, payment: &Payment) {
        if let Some(saga_id) = payment.saga_id() {
            self.by_saga.insert(saga_id, payment.payment_id);
        }
        if let Some(key) = payment.idempotency_key() {
            self.by_key.insert(key.clone(), payment.payment_id);
        }
        let refunds = payment.refunds.iter().map(|refund| (refund.details.refund_id, payment.payment_id));
        self.by_refund.extend(refunds);
    }

    fn next_id(&mut self) -> Result<PaymentId, Unacceptable> {
        self.new_ids.next().ok_or_else(|| Unacceptable("no id was allocated for this payment".to_owned()))
    }
}

/// Returns the event about an order's payment. There is none for a client's payment; and for a void that an earlier
/// version began, order repeats its cancellation, which is answered then.
fn event_of(payment: &Payment, body: EventBody, order: Option<&OrderDetails>) -> Option<Event> {
    Some(Event { saga_id: payment.saga_id()?, order: order?.clone(), body })
}
