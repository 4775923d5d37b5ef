//! The participant of the inventory service: loads the rows that a batch needs, and decides how each input changes
//! them.

mod state;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use saga_database::{WorkingSet, Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{Decision, Input, Participant, Payload, Unacceptable};
use sea_orm::{DatabaseTransaction, DbErr};
use service_http::access::Owner as KeyOwner;
use shared_events::{Envelope, Event, EventBody, Lines, SagaId, Service, Timestamp};

use self::state::State;
use crate::{
    commands::Command,
    domain::{Context, HoldPolicy, Owner, Reservation, ReservationId, State as ReservationState, on_event},
    store::{self, idempotency_keys, reservations, stock_items},
};

/// Maximum number of due reservations that one tick processes, and of idempotency keys that it forgets.
const DUE_AT_ONCE: u64 = 500;

/// The inventory service, as a participant of the engine.
#[derive(Debug)]
pub(crate) struct Inventory {
    hold_policy: HoldPolicy,
    /// How long stock is held for a client that does not release it; `None` for any time.
    reservation_expiry: Option<Duration>,
    /// How long a request with an idempotency key is remembered.
    key_lifetime: Duration,
}

impl Inventory {
    /// Creates the participant. `hold_policy` is how long stock is held before the order service is asked about it,
    /// `reservation_expiry` how long it is held for a client that does not release it, and `key_lifetime` how long a
    /// request with an idempotency key is remembered.
    #[must_use]
    pub(crate) fn new(hold_policy: HoldPolicy, reservation_expiry: Option<Duration>, key_lifetime: Duration) -> Self {
        Self { hold_policy, reservation_expiry, key_lifetime }
    }

    fn command(
        &self,
        state: &mut State,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision<Inventory>, Unacceptable> {
        Ok(match command {
            Command::SetStock(request, reply_to) => Decision::reply(reply_to.with(state.set_stock(request))),
            Command::Reserve(request, reply_to) => {
                let key_expires_at = now.after(self.key_lifetime);
                let reply = state.reserve_once(request, self.reservation_expiry, key_expires_at, now)?;
                Decision::reply(reply_to.with(reply))
            }
            Command::Release(request, reply_to) => {
                let key_expires_at = now.after(self.key_lifetime);
                Decision::reply(reply_to.with(state.release_once(request, key_expires_at, now)?))
            }
            Command::WakeDue => Decision::publish(state.wake_due(now, &self.hold_policy)),
        })
    }

    fn event(&self, state: &mut State, event: &Event, now: Timestamp) -> Result<Decision<Inventory>, Unacceptable> {
        let known = state.by_saga.get(&event.saga_id).and_then(|id| state.reservations.get(id));
        let (stock, new_ids) = (&mut state.items, &mut state.new_ids);
        let context = Context { stock, new_ids, now, hold_policy: &self.hold_policy };
        let transition = on_event(known, event, context).map_err(|impossible| Unacceptable(impossible.to_string()))?;
        let body = state.apply(transition);
        Ok(Decision::publish(body.map(|body| Event { body, ..event.clone() }).into_iter().collect()))
    }
}

impl Participant for Inventory {
    type Message = Envelope;
    type Command = Command;
    type CallResult = ();
    type State = State;

    fn service(&self) -> ServiceSpec {
        Service::Inventory.spec()
    }

    fn on_tick(&self) -> Option<Command> {
        Some(Command::WakeDue)
    }

    /// Locks the idempotency keys first, in their order, then the reservations of sagas, in the order of their sagas,
    /// those of clients, in the order of their ids, and the items last, in the order of their SKUs. The order is the
    /// same in every batch, so that two batches cannot deadlock.
    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut ids, mut skus) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let mut keys = BTreeSet::new();
        let (mut new_ids, mut due_at) = (0, None);
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => drop(sagas.insert(envelope.event.saga_id)),
                Payload::Command(Command::SetStock(request, _)) => drop(skus.insert(&request.sku)),
                Payload::Command(Command::Reserve(request, _)) => {
                    new_ids += 1;
                    skus.insert(&request.line.sku);
                    keys.extend(&request.idempotency_key);
                }
                Payload::Command(Command::Release(request, _)) => {
                    let owner = request.owner.as_ref().map(KeyOwner::as_str);
                    ids.entry(request.id).or_insert_with(Vec::new).push(owner);
                    keys.extend(&request.idempotency_key);
                }
                Payload::Command(Command::WakeDue) => due_at = Some(input.at),
            }
        }
        let keyed = store::keyed_requests(transaction, keys).await?;
        let mut loaded = store::by_sagas(transaction, sagas).await?;
        let known: HashSet<SagaId> = loaded.iter().filter_map(Reservation::saga_id).collect();
        let (mut of_clients, owned_by_sagas) = store::of_clients(transaction, &ids).await?;
        loaded.append(&mut of_clients);
        let held = loaded.iter().filter(|reservation| reservation.state == ReservationState::Held);
        skus.extend(held.flat_map(Reservation::lines).map(|line| &line.sku));
        for input in inputs {
            let Payload::Event(envelope) = &input.payload else { continue };
            let event = &envelope.event;
            if !known.contains(&event.saga_id) {
                new_ids += 1;
                skus.extend(event.order.lines.iter().map(|line| &line.sku));
            } else if let EventBody::PaymentRefunded { refund } = &event.body {
                skus.extend(refund.restock.iter().flat_map(Lines::iter).map(|line| &line.sku));
            }
        }
        let due = match due_at {
            Some(now) => {
                store::forget_expired(transaction, now, DUE_AT_ONCE).await?;
                store::due(transaction, now, DUE_AT_ONCE).await?
            }
            None => Vec::new(),
        };
        let expiring = due.iter().filter(|one| one.expires_at().is_some()).flat_map(Reservation::lines);
        let items = store::items_by_sku(transaction, &skus, expiring.map(|line| &line.sku)).await?;
        let new_ids = next_ids::<reservations::Entity>(transaction, new_ids).await?;
        let new_ids: Vec<_> = new_ids.into_iter().map(ReservationId).collect();
        let due_ids = due.iter().map(|reservation| reservation.id).collect();
        loaded.extend(due);
        Ok(State {
            by_saga: loaded.iter().filter_map(|one| Some((one.saga_id()?, one.id))).collect(),
            reservations: WorkingSet::loaded(loaded.into_iter().map(|one| (one.id, one))),
            owned_by_sagas: owned_by_sagas.into_iter().collect(),
            due: due_ids,
            new_ids: new_ids.into_iter(),
            keyed: WorkingSet::loaded(keyed.into_iter().map(|one| (one.key.clone(), one))),
            items: WorkingSet::loaded(items.into_iter().map(|item| (item.sku().clone(), item))),
        })
    }

    fn decide(&self, state: &mut State, input: &Input<Self>) -> Result<Decision<Inventory>, Unacceptable> {
        match &input.payload {
            Payload::Command(command) => self.command(state, command, input.at),
            Payload::Event(envelope) => self.event(state, &envelope.event, input.at),
        }
    }

    fn save(&self, state: &mut State, writes: &mut Writes) -> Result<(), DbErr> {
        // If another replica has inserted the same key in the meantime, this fails, and the batch is tried again.
        writes.save::<idempotency_keys::Entity>(&state.keyed.to_save(store::keyed_request_to_row));
        writes.save::<reservations::Entity>(&state.reservations.to_save(store::reservation_to_row));
        // If another replica has inserted the same item in the meantime, this fails, and the batch is tried again.
        writes.save::<stock_items::Entity>(&state.items.to_save(store::item_to_row));
        Ok(())
    }

    fn on_committed(&self, state: State) {
        for reservation in state.reservations.into_changed() {
            if let Owner::Saga { saga_id, order } = &reservation.owner {
                tracing::debug!(
                    order.id = order.order_id.0, saga.id = %saga_id, reservation.id = reservation.id.0,
                    state = ?reservation.state, times_overdue = reservation.repeats, "a reservation has changed"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
