//! The participant of the payment service: loads the rows that a batch needs, decides how each input changes them, and
//! asks the gateway.
//!
//! What is to be asked is in the table ([`Task`]), so a message is acknowledged whether or not the gateway answers. A
//! payment that is due is taken: its row says until when nobody else asks, and [`Command::Ask`] makes the call, outside
//! of any transaction. The answer is an input of the engine like any other. If it never comes, the payment becomes due
//! again. A gateway that answers without I/O is asked while the event is decided.

mod state;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::registry::Registry;
use saga_database::{Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{CallError, Decision, Input, Participant, Payload, Readiness, Unacceptable};
use sea_orm::{DatabaseTransaction, DbErr};
use shared_events::{Envelope, Service, Timestamp};

use self::state::State;
use crate::{
    commands::Command,
    domain::{PaymentId, State as PaymentState},
    gateway::{Allowed, Asked, Calls, PaymentGateway},
    metrics::CaptureMetrics,
    store::{self, payments},
    waiters::Waiters,
};

/// The payment service, as a participant of the engine.
#[derive(Debug)]
pub(crate) struct Payments {
    calls: Arc<Calls>,
    waiters: Arc<Waiters>,
    /// Whether this process has already made due what an earlier one was asking about.
    taken_over: AtomicBool,
    /// Whether more payments were due than could be taken.
    more_due: AtomicBool,
    captures: CaptureMetrics,
}

/// How long after a webhook the gateway is asked. The answer to the call that the webhook is about usually comes
/// before that, and then there is nothing left to ask.
const LOOK_UP_DELAY: Duration = Duration::from_secs(1);

/// What a batch may ask the gateway.
#[derive(Debug, Clone, Copy)]
struct Budget {
    allowed: Allowed,
    /// How many payments.
    payments: usize,
}

impl Payments {
    /// Creates the participant. A call to the gateway may take at most `timeout`.
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>, timeout: Duration, waiters: Arc<Waiters>) -> Self {
        let calls = Arc::new(Calls::new(gateway, timeout));
        let (taken_over, more_due) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { calls, waiters, taken_over, more_due, captures: CaptureMetrics::default() }
    }

    /// Returns a function that makes the participant report to a [`Readiness`] whether the gateway answers.
    pub(crate) fn reporter(&self) -> impl FnOnce(Readiness) + use<> {
        let calls = Arc::clone(&self.calls);
        move |readiness| calls.report_to(readiness)
    }

    fn budget(&self) -> Budget {
        let allowed = self.calls.allowed();
        let payments = match allowed {
            Allowed::Payments => self.calls.free(),
            Allowed::Probe | Allowed::Nothing => 0,
        };
        Budget { allowed, payments }
    }

    /// Returns the payments that the gateway is to be asked about, as many as the budget allows, and locks them. At the
    /// first tick that is committed, these are also those that an earlier process was asking about.
    async fn take_due(
        &self,
        transaction: &DatabaseTransaction,
        budget: Budget,
        is_tick: bool,
        now: Timestamp,
    ) -> Result<Vec<crate::domain::Payment>, DbErr> {
        if is_tick {
            store::adopt_voids(transaction, now).await?;
            if !self.taken_over.load(Ordering::Relaxed) {
                store::take_over(transaction, now).await?;
            }
        }
        if budget.payments == 0 {
            return Ok(Vec::new());
        }
        let due = store::due(transaction, now, budget.payments as u64).await?;
        self.more_due.store(due.len() == budget.payments, Ordering::Relaxed);
        Ok(due)
    }
}

impl Participant for Payments {
    type Message = Envelope;
    type Command = Command;
    type CallResult = Asked;
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Payment.spec()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.calls.register(registry);
        self.captures.register(registry);
    }

    fn needs_call(&self, payload: &Payload<Self>) -> bool {
        matches!(payload, Payload::Command(Command::Ask(..) | Command::Probe))
    }

    async fn call(&self, payload: &Payload<Self>) -> Result<Asked, CallError> {
        match payload {
            Payload::Command(Command::Ask(_, question)) => Ok(self.calls.ask(question).await),
            Payload::Command(Command::Probe) => {
                self.calls.probe().await;
                Ok(Asked::Later { pause: Duration::ZERO, not_done: true })
            }
            Payload::Event(_)
            | Payload::Command(
                Command::Authorize(..)
                | Command::TakeDue
                | Command::Tick
                | Command::LookUp(..)
                | Command::RefundsReversed(..),
            ) => Err(CallError("this input needs no call".to_owned())),
        }
    }

    fn on_tick(&self) -> Option<Command> {
        Some(Command::Tick)
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut requests, mut take_at, mut is_tick) = (0, None, false);
        let mut reversed = BTreeSet::new();
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => drop(sagas.insert(envelope.event.saga_id)),
                Payload::Command(Command::Authorize(request, _)) => {
                    requests += 1;
                    keys.extend(&request.idempotency_key);
                }
                Payload::Command(Command::Ask(payment_id, _)) => drop(ids.insert(*payment_id)),
                Payload::Command(Command::TakeDue) => take_at = Some(input.at),
                Payload::Command(Command::Tick) => (take_at, is_tick) = (Some(input.at), true),
                Payload::Command(Command::LookUp(reference, _)) => {
                    store::ask_soon(transaction, reference, input.at.after(LOOK_UP_DELAY)).await?;
                }
                Payload::Command(Command::RefundsReversed(reference, ..)) => drop(reversed.insert(reference)),
                Payload::Command(Command::Probe) => {}
            }
        }
        let budget = self.budget();
        let mut loaded = store::by_ids(transaction, ids.into_iter().collect()).await?;
        loaded.append(&mut store::by_sagas(transaction, sagas.iter().copied().collect()).await?);
        loaded.append(&mut store::by_idempotency_keys(transaction, keys).await?);
        loaded.append(&mut store::refunded_by_reference(transaction, reversed).await?);
        let known = loaded.iter().filter_map(crate::domain::Payment::saga_id).filter(|saga| sagas.contains(saga));
        let known = known.collect::<BTreeSet<_>>().len();
        let mut due = Vec::new();
        if let Some(now) = take_at {
            let payments = self.take_due(transaction, budget, is_tick, now).await?;
            due = payments.iter().map(|payment| payment.payment_id).collect();
            loaded.extend(payments);
        }
        // Only an event creates a payment for a saga that has none.
        let new_ids = next_ids::<payments::Entity>(transaction, requests + sagas.len() - known).await?;
        let new_ids = new_ids.into_iter().map(PaymentId).collect();
        let mut state = State::new(loaded, due, new_ids, budget);
        state.is_tick = is_tick;
        Ok(state)
    }

    fn decide(&self, state: &mut State, input: &Input<Self>) -> Result<Decision<Payments>, Unacceptable> {
        let now = input.at;
        match &input.payload {
            Payload::Event(envelope) => state.event(&self.calls, envelope, now),
            Payload::Command(Command::Authorize(request, reply_to)) => {
                let (reply, follow_ups) = state.request(&self.calls, request, now)?;
                Ok(Decision { follow_ups, ..Decision::reply(reply_to.with(reply)) })
            }
            Payload::Command(Command::Ask(payment_id, question)) => {
                let Some(asked) = &input.call_result else {
                    return Err(Unacceptable("the gateway was not asked".to_owned()));
                };
                let mut decision = state.answered(&self.calls, *payment_id, question.step, asked, now);
                if self.more_due.load(Ordering::Relaxed) {
                    decision.follow_ups.push(Command::TakeDue);
                }
                Ok(decision)
            }
            Payload::Command(Command::LookUp(_, reply_to)) => Ok(Decision::reply(reply_to.with(()))),
            Payload::Command(Command::RefundsReversed(reference, refunds, reply_to)) => {
                Ok(state.refunds_reversed(&self.calls, reference, refunds, now).replying(reply_to.with(())))
            }
            Payload::Command(Command::Probe) => {
                Ok(Decision { follow_ups: vec![Command::TakeDue], ..Decision::silent() })
            }
            Payload::Command(Command::TakeDue | Command::Tick) => {
                Ok(Decision { follow_ups: state.ask_about_due(&self.calls, now), ..Decision::silent() })
            }
        }
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        writes.save::<payments::Entity>(&state.payments.to_save(store::to_row));
        Ok(())
    }

    fn on_committed(&self, state: State) {
        if state.is_tick {
            self.taken_over.store(true, Ordering::Relaxed);
        }
        self.captures.committed(state.captures);
        for payment in state.payments.into_changed() {
            tracing::debug!(
                payment.id = payment.payment_id.0, order.id = payment.order_id.0,
                saga.id = payment.saga_id().map(tracing::field::display),
                state = %payment.state, "a payment has changed"
            );
            if payment.saga_id().is_none() && payment.state != PaymentState::Requested {
                self.waiters.answered(payment);
            }
        }
    }
}

#[cfg(test)]
mod tests;
