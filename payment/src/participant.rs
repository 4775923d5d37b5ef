//! The participant of the payment service: calls the gateway, loads the rows that a batch needs, and decides how each
//! input changes them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::registry::Registry;
use saga_database::{WorkingSet, Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{CallError, Decision, Input, Participant, Payload, Unacceptable};
use sea_orm::{DatabaseTransaction, DbErr};
use shared_events::{Envelope, Event, EventBody, Money, OrderDetails, OrderId, SagaId, Service, Timestamp};

use crate::{
    commands::{AuthorizeRequest, Command},
    domain::{
        Answer, Context, Impossible, NewPayment, Payment, PaymentId, PaymentKey, Transition, on_event, on_voided,
    },
    gateway::{Calls, PaymentGateway, PaymentRequest, Reference},
    store::{self, payments},
};

/// The result of a call to the gateway.
#[derive(Debug)]
pub(crate) enum GatewayAnswer {
    /// The answer to an authorization.
    Authorization(Answer),
    /// The payment is voided.
    Voided,
    /// The payment is not voided yet. The timer repeats the call.
    NotVoided,
}

/// Maximum number of payments that one tick starts to void.
const VOIDS_AT_ONCE: u64 = 500;

/// The payment service, as a participant of the engine.
#[derive(Debug)]
pub(crate) struct Payments {
    calls: Calls,
    /// The payments that have to be voided but cannot be read, and until when they are skipped. (Order and inventory
    /// postpone `wake_at` in the row instead; a payment has no such column.)
    unreadable: Mutex<HashMap<i64, Timestamp>>,
}

/// How long a payment that cannot be read is skipped.
const UNREADABLE_DELAY: Duration = Duration::from_secs(300);
/// Maximum number of payments that are skipped.
const MAX_UNREADABLE: usize = 1_000;

/// The state of one batch: the payments that it reads and changes.
#[derive(Debug)]
pub(crate) struct State {
    of_sagas: WorkingSet<SagaId, Payment>,
    of_clients: Vec<Payment>,
    to_void: Vec<(SagaId, Reference)>,
    new_ids: std::vec::IntoIter<PaymentId>,
}

impl Payments {
    /// Creates the participant. A call to the gateway may take at most `timeout`.
    pub(crate) fn new(gateway: Arc<dyn PaymentGateway>, timeout: Duration) -> Self {
        Self { calls: Calls::new(gateway, timeout), unreadable: Mutex::default() }
    }

    /// Returns the sagas whose payments still have to be voided. A payment that cannot be read is logged as an error
    /// and skipped for a while, so that it does not block the others.
    async fn to_void(
        &self,
        transaction: &DatabaseTransaction,
        now: Timestamp,
    ) -> Result<Vec<(SagaId, Reference)>, DbErr> {
        let except = {
            let mut unreadable = self.unreadable();
            unreadable.retain(|_, until| *until > now);
            unreadable.keys().copied().collect()
        };
        let mut sagas = Vec::new();
        for (id, row) in store::to_void(transaction, except, VOIDS_AT_ONCE).await? {
            match row {
                Ok(payment) => sagas.extend(payment.saga_id.zip(payment.reference.map(Reference))),
                Err(error) => {
                    tracing::error!(
                        payment.id = id, %error,
                        "a payment must be voided but cannot be read: repair its row; the next attempt is in 5 minutes"
                    );
                    let mut unreadable = self.unreadable();
                    if unreadable.len() < MAX_UNREADABLE {
                        unreadable.insert(id, now.after(UNREADABLE_DELAY));
                    }
                }
            }
        }
        Ok(sagas)
    }

    fn unreadable(&self) -> MutexGuard<'_, HashMap<i64, Timestamp>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn authorize(&self, key: PaymentKey, order_id: OrderId, amount: Money) -> Result<GatewayAnswer, CallError> {
        let answer = self.calls.authorize(&PaymentRequest { key, order_id, amount, method: None }).await;
        answer.map(GatewayAnswer::Authorization).map_err(|error| CallError(error.to_string()))
    }
}

impl Participant for Payments {
    type Message = Envelope;
    type Command = Command;
    type CallResult = GatewayAnswer;
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Payment.spec()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.calls.metrics().register(registry);
    }

    /// A cancellation needs no call: if something is authorized, it is voided afterwards (see [`crate::domain`]), and
    /// if not, the cancellation need not wait for an unavailable gateway.
    fn needs_call(&self, payload: &Payload<Self>) -> bool {
        match payload {
            Payload::Event(envelope) => envelope.event.body == EventBody::StockReserved,
            Payload::Command(Command::Authorize(..) | Command::VoidAtGateway { .. }) => true,
            Payload::Command(Command::VoidDue) => false,
        }
    }

    async fn call(&self, payload: &Payload<Self>) -> Result<GatewayAnswer, CallError> {
        match payload {
            Payload::Event(envelope) => {
                let Event { saga_id, order, .. } = &envelope.event;
                self.authorize((*saga_id).into(), order.order_id, order.total).await
            }
            Payload::Command(Command::Authorize(request, _)) => {
                self.authorize(request.key, request.order_id, request.amount).await
            }
            Payload::Command(Command::VoidAtGateway { reference, .. }) => {
                let voided = self.calls.void(reference).await;
                Ok(if voided { GatewayAnswer::Voided } else { GatewayAnswer::NotVoided })
            }
            Payload::Command(Command::VoidDue) => Err(CallError("this command needs no call".to_owned())),
        }
    }

    fn on_tick(&self) -> Option<Command> {
        Some(Command::VoidDue)
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut voided) = (BTreeSet::new(), BTreeSet::new());
        let (mut requests, mut due_at) = (0, None);
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => drop(sagas.insert(envelope.event.saga_id)),
                Payload::Command(Command::Authorize(..)) => requests += 1,
                Payload::Command(Command::VoidAtGateway { saga_id, .. }) => drop(voided.insert(*saga_id)),
                Payload::Command(Command::VoidDue) => due_at = Some(input.at),
            }
        }
        let loaded = store::by_sagas(transaction, sagas.union(&voided).copied().collect()).await?;
        let loaded: Vec<_> = loaded.into_iter().filter_map(|payment| Some((payment.saga_id?, payment))).collect();
        let known = loaded.iter().filter(|(saga_id, _)| sagas.contains(saga_id)).count();
        // Only an event creates a payment for a saga that has none.
        let new_ids = next_ids::<payments::Entity>(transaction, requests + sagas.len() - known).await?;
        let new_ids: Vec<_> = new_ids.into_iter().map(PaymentId).collect();
        Ok(State {
            of_sagas: WorkingSet::loaded(loaded),
            of_clients: Vec::new(),
            to_void: match due_at {
                Some(now) => self.to_void(transaction, now).await?,
                None => Vec::new(),
            },
            new_ids: new_ids.into_iter(),
        })
    }

    fn decide(&self, state: &mut State, input: &Input<Self>) -> Result<Decision<Payments>, Unacceptable> {
        match &input.payload {
            Payload::Event(envelope) => state.event(envelope, input.call_result.as_ref(), input.at),
            Payload::Command(Command::Authorize(request, reply_to)) => {
                let payment = state.authorized(request, input.call_result.as_ref(), input.at)?;
                Ok(Decision::reply(reply_to.with(payment)))
            }
            Payload::Command(Command::VoidAtGateway { saga_id, answer_to, .. }) => {
                Ok(state.voided(*saga_id, answer_to.as_ref(), input.call_result.as_ref(), input.at))
            }
            Payload::Command(Command::VoidDue) => {
                let void = |(saga_id, reference)| Command::VoidAtGateway { saga_id, reference, answer_to: None };
                Ok(Decision { follow_ups: state.to_void.drain(..).map(void).collect(), ..Decision::silent() })
            }
        }
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        let mut rows = state.of_sagas.to_save(store::to_row);
        rows.new.extend(state.of_clients.iter().map(store::to_row));
        writes.save::<payments::Entity>(&rows);
        Ok(())
    }

    fn on_committed(&self, state: State) {
        for payment in state.of_sagas.into_changed().chain(state.of_clients) {
            tracing::debug!(
                payment.id = payment.payment_id.0, order.id = payment.order_id.0,
                saga.id = payment.saga_id.map(tracing::field::display),
                state = %payment.state, "a payment has changed"
            );
        }
    }
}

impl State {
    fn event(
        &mut self,
        envelope: &Envelope,
        answer: Option<&GatewayAnswer>,
        now: Timestamp,
    ) -> Result<Decision<Payments>, Unacceptable> {
        let event = &envelope.event;
        let known = self.of_sagas.get(&event.saga_id);
        let new_id = match known {
            Some(payment) => payment.payment_id,
            None => next(&mut self.new_ids)?,
        };
        let answer = match answer {
            Some(GatewayAnswer::Authorization(answer)) => Some(answer),
            _ => None,
        };
        let transition = on_event(known, event, Context { new_id, answer, now })
            .map_err(|impossible| Unacceptable(impossible.to_string()))?;
        let answer_to = matches!(event.body, EventBody::OrderCancelRequested { .. }).then_some(&event.order);
        Ok(self.apply(transition, event.saga_id, Some(&event.order), answer_to))
    }

    fn authorized(
        &mut self,
        request: &AuthorizeRequest,
        answer: Option<&GatewayAnswer>,
        now: Timestamp,
    ) -> Result<Payment, Unacceptable> {
        let Some(GatewayAnswer::Authorization(answer)) = answer else {
            return Err(Unacceptable(Impossible::GatewayNotCalled.to_string()));
        };
        let AuthorizeRequest { order_id, amount, .. } = *request;
        let payment_id = next(&mut self.new_ids)?;
        let payment = Payment::from_answer(NewPayment { payment_id, saga_id: None, order_id, amount }, answer, now);
        self.of_clients.push(payment.clone());
        Ok(payment)
    }

    fn voided(
        &mut self,
        saga_id: SagaId,
        answer_to: Option<&OrderDetails>,
        answer: Option<&GatewayAnswer>,
        now: Timestamp,
    ) -> Decision<Payments> {
        // A payment that is not voided yet is found by the timer again. If this command, and with it the answer, is
        // lost, the order service repeats its cancellation.
        let Some(GatewayAnswer::Voided) = answer else { return Decision::silent() };
        let transition = on_voided(self.of_sagas.get(&saga_id), now);
        self.apply(transition, saga_id, answer_to, None)
    }

    /// Stores the changed payment in the batch, publishes the event about `order` if that is given, and starts a void
    /// if one is needed. The void answers the cancellation of `answer_to` if that is given.
    fn apply(
        &mut self,
        transition: Transition,
        saga_id: SagaId,
        order: Option<&OrderDetails>,
        answer_to: Option<&OrderDetails>,
    ) -> Decision<Payments> {
        let Transition { payment, event, void } = transition;
        if let Some(payment) = payment {
            self.of_sagas.put(saga_id, payment);
        }
        let event = event.zip(order).map(|(body, order)| Event { saga_id, order: order.clone(), body });
        let reference = self.of_sagas.get(&saga_id).and_then(|payment| payment.reference.clone().map(Reference));
        let void = reference.filter(|_| void).map(|reference| Command::VoidAtGateway {
            saga_id,
            reference,
            answer_to: answer_to.cloned(),
        });
        Decision { follow_ups: void.into_iter().collect(), ..Decision::publish(event.into_iter().collect()) }
    }
}

fn next(new_ids: &mut impl Iterator<Item = PaymentId>) -> Result<PaymentId, Unacceptable> {
    new_ids.next().ok_or_else(|| Unacceptable("no id was allocated for this payment".to_owned()))
}
