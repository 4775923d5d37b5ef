//! The participant of the order service: loads the rows that a batch needs, and decides how each input changes them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use prometheus_client::registry::Registry;
use saga_database::{WorkingSet, Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{Decision, Input, Participant, Payload, ReplyTo, Unacceptable};
use saga_support::millis;
use sea_orm::{DatabaseTransaction, DbErr};
use service_http::access::Owner;
use shared_events::{Envelope, Event, OrderId, SagaId, Service, Timestamp};

use crate::{
    commands::{CancelReply, Command, PlaceReply},
    domain::{
        AlreadyConfirmed, CancelPolicy, IdempotencyKey, NewOrder, NewRefund, Order, RefundState, Transition, on_cancel,
        on_event, on_tick,
    },
    metrics::OrderMetrics,
    participant::refunds::Refunds,
    store::{self, order_events, orders},
    timeline::{timeline_row, what_changed},
    watch::Watchers,
};

mod refunds;

/// Maximum number of due orders, and of due refunds, that one tick processes.
const DUE_AT_ONCE: u64 = 500;

/// The order service, as a participant of the engine.
#[derive(Debug)]
pub(crate) struct Orders {
    cancel_policy: CancelPolicy,
    watchers: Arc<Watchers>,
    metrics: OrderMetrics,
}

/// The state of one batch: the orders that it reads and changes.
#[derive(Debug)]
pub(crate) struct State {
    orders: WorkingSet<OrderId, Order>,
    by_saga: HashMap<SagaId, OrderId>,
    /// By owner and idempotency key.
    by_key: HashMap<String, HashMap<IdempotencyKey, OrderId>>,
    due: Vec<OrderId>,
    refunds: Refunds,
    /// The orders with refunds that are due.
    due_refunds: BTreeSet<OrderId>,
    new_ids: std::vec::IntoIter<OrderId>,
    timeline: Vec<order_events::Model>,
    /// The orders that ended in this batch.
    ended: Vec<OrderId>,
    /// The states that refunds got in this batch.
    ended_refunds: Vec<RefundState>,
    /// Every change of an order, oldest first, for the watchers. `None` if there were none when the batch began.
    changes: Option<Vec<Order>>,
}

impl Orders {
    /// Creates the participant. Changes of orders are passed on to `watchers`.
    #[must_use]
    pub(crate) fn new(cancel_policy: CancelPolicy, watchers: Arc<Watchers>) -> Self {
        Self { cancel_policy, watchers, metrics: OrderMetrics::default() }
    }

    /// Returns the metrics.
    pub(crate) fn metrics(&self) -> &OrderMetrics {
        &self.metrics
    }

    fn command(&self, state: &mut State, command: &Command, now: Timestamp) -> Result<Decision<Orders>, Unacceptable> {
        match command {
            Command::Place(new, reply_to) => self.place(state, new, reply_to, now),
            Command::Cancel(id, owner, reply_to) => Ok(self.cancel(state, *id, owner.as_ref(), reply_to, now)),
            Command::Refund(new, owner, reply_to) => Ok(self.refund(state, new, owner.as_ref(), reply_to, now)),
            Command::WakeDue => {
                let mut events = self.wake_due(state, now);
                events.append(&mut self.wake_due_refunds(state, now));
                Ok(Decision::publish(events))
            }
        }
    }

    fn place(
        &self,
        state: &mut State,
        new: &NewOrder,
        reply_to: &ReplyTo<PlaceReply>,
        now: Timestamp,
    ) -> Result<Decision<Orders>, Unacceptable> {
        if let Some(order) = state.placed_before(new) {
            let same = order.has_content_of(new);
            let reply = if same { PlaceReply::PlacedBefore(order.clone().into()) } else { PlaceReply::KeyReused };
            return Ok(Decision::reply(reply_to.with(reply)));
        }
        let id = state.new_ids.next();
        let id = id.ok_or_else(|| Unacceptable("no id was allocated for this order".to_owned()))?;
        let (order, created) = Order::place(new.clone(), id, now, &self.cancel_policy);
        state.put(order.clone());
        Ok(Decision::publish(vec![created]).replying(reply_to.with(PlaceReply::Placed(order.into()))))
    }

    fn cancel(
        &self,
        state: &mut State,
        id: OrderId,
        owner: Option<&Owner>,
        reply_to: &ReplyTo<CancelReply>,
        now: Timestamp,
    ) -> Decision<Orders> {
        let visible = |order: &&Order| order.is_visible_to(owner.map(Owner::as_str));
        let Some(order) = state.orders.get(&id).filter(visible) else {
            return Decision::reply(reply_to.with(CancelReply::NotFound));
        };
        match on_cancel(order, state.time_of(id, now), &self.cancel_policy) {
            Err(AlreadyConfirmed) => Decision::reply(reply_to.with(CancelReply::AlreadyConfirmed)),
            Ok(transition) => {
                let unchanged = order.clone();
                let events = state.apply(id, transition);
                let order = state.orders.get(&id).cloned().unwrap_or(unchanged);
                Decision::publish(events).replying(reply_to.with(CancelReply::Accepted(order.into())))
            }
        }
    }

    fn wake_due(&self, state: &mut State, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for id in std::mem::take(&mut state.due) {
            // An earlier input of the batch may have changed it.
            if let Some(order) = state.orders.get(&id) {
                let transition = on_tick(order, state.time_of(id, now), &self.cancel_policy);
                events.append(&mut state.apply(id, transition));
            }
        }
        events
    }

    fn event(&self, state: &mut State, envelope: &Envelope, now: Timestamp) -> Decision<Orders> {
        let event = &envelope.event;
        let Some(&id) = state.by_saga.get(&event.saga_id) else {
            tracing::warn!(
                order.id = event.order.order_id.0, saga.id = %event.saga_id, event = %event.body.event_type(),
                "an event of an unknown order"
            );
            return Decision::publish(on_event(None, event, now).events);
        };
        if event.body.refund().is_some() {
            let now = state.time_of(id, now);
            let changed = state.learn_of_refund(id, &event.body, now);
            state.timeline.push(timeline_row(id, envelope, now, changed));
            return Decision::silent();
        }
        let facts = |state: &State| state.orders.get(&id).map(|order| order.facts).unwrap_or_default();
        let before = facts(state);
        let transition = on_event(state.orders.get(&id), event, state.time_of(id, now));
        let events = state.apply(id, transition);
        let row = timeline_row(id, envelope, state.time_of(id, now), what_changed(before, facts(state)));
        state.timeline.push(row);
        Decision::publish(events)
    }
}

impl Participant for Orders {
    type Message = Envelope;
    type Command = Command;
    type CallResult = ();
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Order.spec()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn on_tick(&self) -> Option<Command> {
        Some(Command::WakeDue)
    }

    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut ids, mut keys) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let (mut placed, mut due_at, mut with_refunds) = (0, None, false);
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => {
                    sagas.insert(envelope.event.saga_id);
                    with_refunds |= envelope.event.body.refund().is_some();
                }
                Payload::Command(Command::Refund(NewRefund { order_id: id, .. }, owner, _)) => {
                    with_refunds = true;
                    ids.entry(*id).or_insert_with(Vec::new).push(owner.as_ref().map(Owner::as_str));
                }
                Payload::Command(Command::Cancel(id, owner, _)) => {
                    ids.entry(*id).or_insert_with(Vec::new).push(owner.as_ref().map(Owner::as_str));
                }
                Payload::Command(Command::WakeDue) => due_at = Some(input.at),
                Payload::Command(Command::Place(new, _)) => {
                    placed += 1;
                    keys.extend(new.idempotency_key.as_ref().map(|key| (new.owner.as_str(), key)));
                }
            }
        }
        let mut loaded = store::by_order_ids(transaction, &ids).await?;
        loaded.append(&mut store::by_sagas(transaction, sagas.into_iter().collect()).await?);
        loaded.append(&mut store::by_idempotency_keys(transaction, keys).await?);
        let (mut due, mut due_refunds) = (Vec::new(), Vec::new());
        if let Some(now) = due_at {
            due_refunds = store::refunds::due(transaction, now, DUE_AT_ONCE).await?;
            let mut orders = store::due(transaction, now, DUE_AT_ONCE).await?;
            let left = DUE_AT_ONCE - orders.len() as u64;
            if left > 0 {
                orders.append(&mut store::to_capture(transaction, now, left).await?);
            }
            due = orders.iter().map(|order| order.details.order_id).collect();
            loaded.extend(orders);
        }
        loaded.extend(due_refunds.iter().cloned());
        let refunds = match with_refunds {
            // One that cannot be read fails what is to be done with the refunds of its order, but not a tick.
            true => store::refunds::of_orders(transaction, loaded.iter()).await?,
            false => store::refunds::readable_of_orders(transaction, due_refunds.iter()).await?,
        };
        let new_ids: Vec<_> = next_ids::<orders::Entity>(transaction, placed).await?.into_iter().map(OrderId).collect();
        let mut state = State {
            orders: WorkingSet::loaded([]),
            by_saga: HashMap::new(),
            by_key: HashMap::new(),
            due,
            refunds: Refunds::loaded(refunds),
            due_refunds: due_refunds.iter().map(|order| order.details.order_id).collect(),
            new_ids: new_ids.into_iter(),
            timeline: Vec::new(),
            ended: Vec::new(),
            ended_refunds: Vec::new(),
            changes: self.watchers.has_watchers().then(Vec::new),
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

    fn on_published(&self, state: &mut State, envelope: &Envelope) {
        let id = envelope.event.order.order_id;
        if let Some(order) = state.orders.get(&id).filter(|order| order.saga_id == envelope.event.saga_id) {
            let status = format!("status is {}", order.status());
            let row = timeline_row(id, envelope, state.time_of(id, envelope.header.time), status);
            state.timeline.push(row);
        }
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        writes.save::<orders::Entity>(&state.orders.to_save(store::to_row));
        writes.save::<store::refunds::Entity>(&state.refunds.all.to_save(store::refunds::to_row));
        // If the inbox no longer has an event, its duplicate is handled again. Then the timeline already has an entry.
        writes.insert_missing::<order_events::Entity>(&std::mem::take(&mut state.timeline));
        Ok(())
    }

    fn on_committed(&self, state: State) {
        state.ended.iter().filter_map(|id| state.orders.get(id)).for_each(|order| self.metrics.ended(order));
        state.ended_refunds.iter().for_each(|refund| self.metrics.refund_ended(*refund));
        let ended: BTreeSet<OrderId> = state.ended.into_iter().collect();
        let orders = state.orders.into_changed().inspect(|order| {
            if ended.contains(&order.details.order_id) {
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
            self.by_key.entry(order.owner.clone()).or_default().insert(key.clone(), order.details.order_id);
        }
    }

    /// Returns the order that an earlier request of the same owner with the same key has placed.
    fn placed_before(&self, new: &NewOrder) -> Option<&Order> {
        let id = self.by_key.get(&new.owner)?.get(new.idempotency_key.as_ref()?)?;
        self.orders.get(id)
    }

    fn put(&mut self, order: Order) {
        self.remember(&order);
        self.changes.iter_mut().for_each(|changes| changes.push(order.clone()));
        self.orders.put(order.details.order_id, order);
    }

    /// Returns `now`, or the time of the order's last change if that is later. The clocks of replicas differ by
    /// milliseconds and may go back when they are corrected, but an order's time never goes back.
    fn time_of(&self, id: OrderId, now: Timestamp) -> Timestamp {
        self.orders.get(&id).map_or(now, |order| now.max(order.changed_at))
    }

    /// Stores the changed order in the batch, to be saved, and returns the events to publish.
    fn apply(&mut self, id: OrderId, Transition { order, events }: Transition) -> Vec<Event> {
        if let Some(mut order) = order {
            let ended_before = self.orders.get(&id).is_some_and(|before| before.status().is_terminal());
            if order.status().is_terminal() && !ended_before {
                self.ended.push(id);
            }
            order.version += 1;
            self.put(order);
        }
        events
    }
}

#[cfg(test)]
mod tests;
