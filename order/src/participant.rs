//! The order service's part in the saga: which input touches which rows, and what becomes of them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use prometheus_client::registry::Registry;
use saga_database::{WorkingSet, Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{Decision, Input, Participant, Payload, Unacceptable};
use saga_support::millis;
use sea_orm::{DatabaseTransaction, DbErr};
use shared_events::{Envelope, EventBody, OrderId, SagaId, Service, Timestamp};

use crate::{
    domain::{AlreadyConfirmed, CancelPolicy, Fact, IdempotencyKey, NewOrder, Order},
    metrics::OrderMetrics,
    store::{self, order_events, orders},
    timeline::{timeline_row, what_changed},
    watch::Watchers,
};

/// What callers and the clock ask of the order service.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client wants an order.
    Place(NewOrder),
    /// A client wants an order undone.
    Cancel(OrderId),
    /// The clock: look at what is due.
    WakeDue,
}

/// What a client gets back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its order was placed.
    Placed(Box<Order>),
    /// Its order was placed before, by a request with the same key; this is how it stands.
    PlacedBefore(Box<Order>),
    /// Its key names a request that asked for something else.
    KeyOfAnotherRequest,
    /// Its order is being undone, or was.
    CancelAccepted(Box<Order>),
    /// Its order is confirmed and stays so.
    Confirmed,
    /// There is no such order.
    Unknown,
}

/// How many due orders one look of the clock takes.
const DUE_AT_ONCE: u64 = 500;

/// The order service, as the engine runs it.
#[derive(Debug)]
pub(crate) struct Orders {
    cancel_policy: CancelPolicy,
    watchers: Arc<Watchers>,
    metrics: OrderMetrics,
}

/// The orders of one batch.
#[derive(Debug)]
pub(crate) struct State {
    orders: WorkingSet<OrderId, Order>,
    by_saga: HashMap<SagaId, OrderId>,
    by_key: HashMap<IdempotencyKey, OrderId>,
    due: Vec<OrderId>,
    new_ids: std::vec::IntoIter<OrderId>,
    timeline: Vec<order_events::Model>,
    /// Those that came to their end in this batch.
    ended: Vec<OrderId>,
    /// Every change, in its order, where somebody watched when the batch began.
    changes: Option<Vec<Order>>,
}

impl Orders {
    /// Orders that are cancelled by this policy, whose changes are told to `watchers`.
    #[must_use]
    pub(crate) fn new(cancel_policy: CancelPolicy, watchers: Arc<Watchers>) -> Self {
        Self { cancel_policy, watchers, metrics: OrderMetrics::default() }
    }

    fn command(&self, state: &mut State, command: &Command, now: Timestamp) -> Result<Decision<Orders>, Unacceptable> {
        match command {
            Command::Place(new) => self.place(state, new, now),
            Command::Cancel(id) => Ok(self.cancel(state, *id, now)),
            Command::WakeDue => {
                let mut events = Vec::new();
                for id in std::mem::take(&mut state.due) {
                    state.change(id, now, |order, now| events.append(&mut order.wake(now, &self.cancel_policy)));
                }
                Ok(Decision::publish(events))
            }
        }
    }

    fn place(&self, state: &mut State, new: &NewOrder, now: Timestamp) -> Result<Decision<Orders>, Unacceptable> {
        let same_key = new.idempotency_key.as_ref().and_then(|key| state.by_key.get(key));
        if let Some(order) = same_key.and_then(|id| state.orders.get(id)) {
            let same = order.is_what_was_asked(new);
            let reply = if same { Reply::PlacedBefore(order.clone().into()) } else { Reply::KeyOfAnotherRequest };
            return Ok(Decision::reply(reply));
        }
        let id =
            state.new_ids.next().ok_or_else(|| Unacceptable("no number was set aside for this order".to_owned()))?;
        let (order, created) = Order::place(new.clone(), id, now, &self.cancel_policy);
        state.put(order.clone());
        Ok(Decision { reply: Some(Reply::Placed(order.into())), ..Decision::publish(vec![created]) })
    }

    fn cancel(&self, state: &mut State, id: OrderId, now: Timestamp) -> Decision<Orders> {
        let cancelled = state.change(id, now, |order, now| order.cancel(now, &self.cancel_policy));
        // As it is saved, and not as it stood within the step.
        match (cancelled, state.orders.get(&id)) {
            (None, _) | (_, None) => Decision::reply(Reply::Unknown),
            (Some(Err(AlreadyConfirmed)), _) => Decision::reply(Reply::Confirmed),
            (Some(Ok(events)), Some(order)) => {
                Decision { reply: Some(Reply::CancelAccepted(order.clone().into())), ..Decision::publish(events) }
            }
        }
    }

    fn event(&self, state: &mut State, envelope: &Envelope, now: Timestamp) -> Decision<Orders> {
        let event = &envelope.event;
        let Some(&id) = state.by_saga.get(&event.saga_id) else {
            return Decision::publish(Self::of_unknown_order(envelope));
        };
        let before = state.orders.get(&id).map(|order| order.facts).unwrap_or_default();
        let events = match Fact::of(&event.body) {
            Some(fact) => state.change(id, now, |order, now| order.learn(fact, now)).unwrap_or_default(),
            None => state.orders.get(&id).and_then(Order::outcome_event).into_iter().collect(),
        };
        let after = state.orders.get(&id).map(|order| order.facts).unwrap_or_default();
        let row = timeline_row(id, envelope, state.time_of(id, now), what_changed(before, after));
        state.timeline.push(row);
        Decision::publish(events)
    }

    /// An order that this database does not know: it was lost, or restored from before the order. Whoever holds something
    /// for it is told to let go.
    fn of_unknown_order(envelope: &Envelope) -> Vec<shared_events::Event> {
        let event = &envelope.event;
        tracing::warn!(order.id = event.order.order_id.0, saga.id = %event.saga_id, event = %event.body.event_type(), "an event of an order that is not known here");
        match event.body {
            EventBody::StockReserved | EventBody::PaymentAuthorized | EventBody::StockHoldOverdue => {
                vec![Order::event_for_unknown_order(event.saga_id, event.order.clone())]
            }
            _ => Vec::new(),
        }
    }
}

impl Participant for Orders {
    type Message = Envelope;
    type Command = Command;
    type Reply = Reply;
    type CallResult = ();
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Order.spec()
    }

    fn measure(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn on_tick(&self) -> Option<Command> {
        Some(Command::WakeDue)
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut placed, mut look_at) = (0, None);
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => drop(sagas.insert(envelope.event.saga_id)),
                Payload::Command(Command::Cancel(id)) => drop(ids.insert(*id)),
                Payload::Command(Command::WakeDue) => look_at = Some(input.at),
                Payload::Command(Command::Place(new)) => {
                    placed += 1;
                    keys.extend(&new.idempotency_key);
                }
            }
        }
        let mut loaded = store::by_order_ids(transaction, ids.into_iter().collect()).await?;
        loaded.append(&mut store::by_sagas(transaction, sagas.into_iter().collect()).await?);
        loaded.append(&mut store::by_idempotency_keys(transaction, keys.into_iter().collect()).await?);
        let mut due = Vec::new();
        if let Some(now) = look_at {
            let orders = store::due(transaction, now, DUE_AT_ONCE).await?;
            due = orders.iter().map(|order| order.details.order_id).collect();
            loaded.extend(orders);
        }
        let new_ids: Vec<_> = next_ids::<orders::Entity>(transaction, placed).await?.into_iter().map(OrderId).collect();
        let mut state = State {
            orders: WorkingSet::loaded([]),
            by_saga: HashMap::new(),
            by_key: HashMap::new(),
            due,
            new_ids: new_ids.into_iter(),
            timeline: Vec::new(),
            ended: Vec::new(),
            changes: self.watchers.somebody_watches().then(Vec::new),
        };
        for order in &loaded {
            state.remember(order);
        }
        state.orders = WorkingSet::loaded(loaded.into_iter().map(|order| (order.details.order_id, order)));
        Ok(state)
    }

    fn decide(&self, state: &mut State, input: &Input<Self>) -> Result<Decision<Orders>, Unacceptable> {
        match &input.payload {
            Payload::Command(command) => self.command(state, command, input.at),
            Payload::Event(envelope) => Ok(self.event(state, envelope, input.at)),
        }
    }

    fn published(&self, state: &mut State, envelope: &Envelope) {
        let id = envelope.event.order.order_id;
        if let Some(order) = state.orders.get(&id).filter(|order| order.saga_id == envelope.event.saga_id) {
            let status = format!("status is {}", order.status());
            let row = timeline_row(id, envelope, state.time_of(id, envelope.header.time), status);
            state.timeline.push(row);
        }
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        writes.save::<orders::Entity>(&state.orders.to_save(store::to_row));
        // A duplicate that the inbox has forgotten is in the timeline already.
        writes.insert_missing::<order_events::Entity>(&std::mem::take(&mut state.timeline));
        Ok(())
    }

    fn committed(&self, state: State) {
        state.ended.iter().filter_map(|id| state.orders.get(id)).for_each(|order| self.metrics.ended(order));
        let orders = state.orders.into_changed().inspect(|order| {
            if order.status().is_terminal() {
                tracing::debug!(
                    order.id = order.details.order_id.0, saga.id = %order.saga_id, status = %order.status(),
                    duration_ms = millis(order.changed_at.since(order.placed_at)), "the order has ended"
                );
            }
        });
        self.watchers.committed(orders, state.changes);
    }
}

impl State {
    fn remember(&mut self, order: &Order) {
        self.by_saga.insert(order.saga_id, order.details.order_id);
        if let Some(key) = &order.idempotency_key {
            self.by_key.insert(key.clone(), order.details.order_id);
        }
    }

    fn put(&mut self, order: Order) {
        self.remember(&order);
        self.changes.iter_mut().for_each(|changes| changes.push(order.clone()));
        self.orders.put(order.details.order_id, order);
    }

    /// `now`, or the time of the order's last change if that is later: clocks of replicas differ by milliseconds, and one that
    /// is set right may go back, but no order's time does.
    fn time_of(&self, id: OrderId, now: Timestamp) -> Timestamp {
        self.orders.get(&id).map_or(now, |order| now.max(order.changed_at))
    }

    /// Does `step` to the order at that time, and has it saved where that changed it.
    fn change<T>(&mut self, id: OrderId, now: Timestamp, step: impl FnOnce(&mut Order, Timestamp) -> T) -> Option<T> {
        let now = self.time_of(id, now);
        let before = self.orders.get(&id)?;
        let mut order = before.clone();
        let outcome = step(&mut order, now);
        if order != *before {
            order.version += 1;
            if order.status().is_terminal() && !before.status().is_terminal() {
                self.ended.push(id);
            }
            self.put(order);
        }
        Some(outcome)
    }
}
