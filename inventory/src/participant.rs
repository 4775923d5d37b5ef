//! The participant of the inventory service: loads the rows that a batch needs, and decides how each input changes
//! them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use saga_database::{WorkingSet, Writes, next_ids};
use saga_message::ServiceSpec;
use saga_runtime::{Decision, Input, Participant, Payload, Unacceptable};
use sea_orm::{DatabaseTransaction, DbErr};
use service_http::access::Owner as KeyOwner;
use shared_events::{Envelope, Event, EventBody, SagaId, Service, Sku, Timestamp};

use crate::{
    commands::{Command, ReleaseReply, ReserveReply, SetStockReply},
    domain::{
        ClientRequest, Context, HoldPolicy, Owner, Reservation, ReservationId, State as ReservationState, Stock,
        StockItem, Transition, on_event, on_tick,
    },
    store::{self, reservations, stock_items},
};

/// Maximum number of due reservations that one tick processes.
const DUE_AT_ONCE: u64 = 500;

/// The inventory service, as a participant of the engine.
#[derive(Debug)]
pub(crate) struct Inventory {
    hold_policy: HoldPolicy,
    /// How long stock is held for a client that does not release it; `None` for any time.
    reservation_expiry: Option<Duration>,
}

/// The state of one batch: the rows that it reads and changes.
#[derive(Debug)]
pub(crate) struct State {
    reservations: WorkingSet<ReservationId, Reservation>,
    by_saga: HashMap<SagaId, ReservationId>,
    /// Reservations that clients want to release, but that belong to sagas.
    owned_by_sagas: HashSet<ReservationId>,
    due: Vec<ReservationId>,
    new_ids: std::vec::IntoIter<ReservationId>,
    items: WorkingSet<Sku, StockItem>,
}

impl Stock for WorkingSet<Sku, StockItem> {
    fn item(&self, sku: &Sku) -> Option<&StockItem> {
        self.get(sku)
    }

    fn put(&mut self, item: StockItem) {
        self.put(item.sku().clone(), item);
    }
}

impl Inventory {
    /// Creates the participant. `hold_policy` is how long stock is held before the order service is asked about it, and
    /// `reservation_expiry` how long it is held for a client that does not release it.
    #[must_use]
    pub(crate) fn new(hold_policy: HoldPolicy, reservation_expiry: Option<Duration>) -> Self {
        Self { hold_policy, reservation_expiry }
    }

    fn command(
        &self,
        state: &mut State,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision<Inventory>, Unacceptable> {
        Ok(match command {
            Command::SetStock(sku, units, reply_to) => Decision::reply(reply_to.with(state.set_stock(sku, *units))),
            Command::Reserve(line, key_owner, reply_to) => {
                let (line, key_owner, expiry) = (line.clone(), key_owner.clone(), self.reservation_expiry);
                let request = ClientRequest { line, key_owner, expiry };
                Decision::reply(reply_to.with(state.reserve(request, now)?))
            }
            Command::Release(id, owner, reply_to) => {
                let owner = owner.as_ref().map(KeyOwner::as_str);
                Decision::reply(reply_to.with(state.release(*id, owner, now)?))
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

impl State {
    fn put(&mut self, reservation: Reservation) {
        if let Some(saga_id) = reservation.saga_id() {
            self.by_saga.insert(saga_id, reservation.id);
        }
        self.reservations.put(reservation.id, reservation);
    }

    /// Stores the changed reservation in the batch, to be saved, and returns the event to publish.
    fn apply(&mut self, Transition { reservation, event }: Transition) -> Option<EventBody> {
        if let Some(reservation) = reservation {
            self.put(reservation);
        }
        event
    }

    fn set_stock(&mut self, sku: &Sku, units: i64) -> SetStockReply {
        let mut item = self.items.get(sku).cloned().unwrap_or_else(|| StockItem::new(sku.clone()));
        if item.set_available(units).is_err() {
            return SetStockReply::TooMuch;
        }
        Stock::put(&mut self.items, item.clone());
        SetStockReply::Stored(item)
    }

    fn reserve(&mut self, request: ClientRequest, now: Timestamp) -> Result<ReserveReply, Unacceptable> {
        let id = self.new_ids.next();
        let id = id.ok_or_else(|| Unacceptable("no id was allocated for this reservation".to_owned()))?;
        let sku = request.line.sku.clone();
        match Reservation::hold_for_client(id, request, &mut self.items, now) {
            Err(rejection) => Ok(ReserveReply::Rejected(rejection.reason)),
            Ok(reservation) => {
                let expires_at = reservation.expires_at();
                self.put(reservation);
                let remaining = self.items.get(&sku).map_or(0, StockItem::available);
                Ok(ReserveReply::Reserved { id, remaining, expires_at })
            }
        }
    }

    /// Releases what a client holds. A caller with an `owner` learns of no other reservation that it is there.
    fn release(
        &mut self,
        id: ReservationId,
        owner: Option<&str>,
        now: Timestamp,
    ) -> Result<ReleaseReply, Unacceptable> {
        if owner.is_none() && self.owned_by_sagas.contains(&id) {
            return Ok(ReleaseReply::HeldForOrder);
        }
        let visible = |reservation: &&Reservation| reservation.is_visible_to(owner);
        let Some(reservation) = self.reservations.get(&id).filter(visible) else { return Ok(ReleaseReply::NotFound) };
        let line = match &reservation.owner {
            Owner::Saga { .. } => return Ok(ReleaseReply::HeldForOrder),
            Owner::Client { .. } if reservation.state != ReservationState::Held => {
                return Ok(ReleaseReply::ReleasedBefore);
            }
            Owner::Client { line, .. } => line.clone(),
        };
        let released = reservation.release(&mut self.items, now);
        self.put(released.map_err(|(line, error)| Unacceptable(format!("{}: {error}", line.sku)))?);
        Ok(ReleaseReply::Released(line))
    }

    fn wake_due(&mut self, now: Timestamp, hold_policy: &HoldPolicy) -> Vec<Event> {
        let mut events = Vec::new();
        for id in std::mem::take(&mut self.due) {
            // An earlier input of the batch may have changed it.
            let Some(reservation) = self.reservations.get(&id) else { continue };
            let Owner::Saga { saga_id, order } = reservation.owner.clone() else {
                self.expire(id, now);
                continue;
            };
            let body = self.apply(on_tick(reservation, now, hold_policy));
            events.extend(body.map(|body| Event { saga_id, order, body }));
        }
        events
    }

    /// Releases what is held for a client if its time is over. If the stock does not hold it, because the database is
    /// damaged, it is postponed, so that it does not block the others.
    fn expire(&mut self, id: ReservationId, now: Timestamp) {
        let Some(reservation) = self.reservations.get(&id).filter(|one| one.has_expired(now)) else { return };
        let expired = reservation.release(&mut self.items, now).unwrap_or_else(|(line, error)| {
            tracing::error!(
                reservation.id = id.0, sku = line.sku.as_str(), %error,
                "a reservation has expired but cannot be released: repair the item; the next attempt is in 5 minutes"
            );
            Reservation { wake_at: Some(now.after(store::UNREADABLE_DELAY)), ..reservation.clone() }
        });
        self.put(expired);
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

    /// Locks the reservations of sagas first, in the order of their sagas, then those of clients, in the order of their
    /// ids, and the items last, in the order of their SKUs. The order is the same in every batch, so that two batches
    /// cannot deadlock.
    async fn load(&self, transaction: &DatabaseTransaction, inputs: &[&Input<Self>]) -> Result<State, DbErr> {
        let (mut sagas, mut ids, mut skus) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let (mut new_ids, mut due_at) = (0, None);
        for input in inputs {
            match &input.payload {
                Payload::Event(envelope) => drop(sagas.insert(envelope.event.saga_id)),
                Payload::Command(Command::SetStock(sku, ..)) => drop(skus.insert(sku)),
                Payload::Command(Command::Reserve(line, ..)) => {
                    new_ids += 1;
                    skus.insert(&line.sku);
                }
                Payload::Command(Command::Release(id, owner, _)) => {
                    ids.entry(*id).or_insert_with(Vec::new).push(owner.as_ref().map(KeyOwner::as_str));
                }
                Payload::Command(Command::WakeDue) => due_at = Some(input.at),
            }
        }
        let mut loaded = store::by_sagas(transaction, sagas).await?;
        let known: HashSet<SagaId> = loaded.iter().filter_map(Reservation::saga_id).collect();
        let (mut of_clients, owned_by_sagas) = store::of_clients(transaction, &ids).await?;
        loaded.append(&mut of_clients);
        let held = loaded.iter().filter(|reservation| reservation.state == ReservationState::Held);
        skus.extend(held.flat_map(Reservation::lines).map(|line| &line.sku));
        for input in inputs {
            if let Payload::Event(envelope) = &input.payload
                && !known.contains(&envelope.event.saga_id)
            {
                new_ids += 1;
                skus.extend(envelope.event.order.lines.iter().map(|line| &line.sku));
            }
        }
        let due = match due_at {
            Some(now) => store::due(transaction, now, DUE_AT_ONCE).await?,
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
