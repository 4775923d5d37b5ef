//! The state of one batch, and the decisions about it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use saga_database::{UNREADABLE_DELAY, WorkingSet};
use saga_runtime::Unacceptable;
use service_http::access::Owner as KeyOwner;
use shared_events::{Event, EventBody, OwnedKey, SagaId, Sku, Timestamp};

use crate::{
    commands::{ReleaseReply, ReleaseRequest, ReserveReply, ReserveRequest, SetStockReply, SetStockRequest},
    domain::{
        ClientRequest, Grant, HoldPolicy, KeyedRequest, Owner, Reservation, ReservationId, State as ReservationState,
        Stock, StockItem, Transition, on_tick,
    },
    http::ItemView,
};

/// The state of one batch: the rows that it reads and changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) reservations: WorkingSet<ReservationId, Reservation>,
    pub(super) by_saga: HashMap<SagaId, ReservationId>,
    /// Reservations that clients want to release, but that belong to sagas.
    pub(super) owned_by_sagas: HashSet<ReservationId>,
    pub(super) due: Vec<ReservationId>,
    pub(super) new_ids: std::vec::IntoIter<ReservationId>,
    /// Requests of clients by their idempotency keys.
    pub(super) keyed: WorkingSet<OwnedKey, KeyedRequest>,
    pub(super) items: WorkingSet<Sku, StockItem>,
}

impl Stock for WorkingSet<Sku, StockItem> {
    fn item(&self, sku: &Sku) -> Option<&StockItem> {
        self.get(sku)
    }

    fn put(&mut self, item: StockItem) {
        self.put(item.sku().clone(), item);
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
    pub(super) fn apply(&mut self, Transition { reservation, event }: Transition) -> Option<EventBody> {
        if let Some(reservation) = reservation {
            self.put(reservation);
        }
        event
    }

    pub(super) fn set_stock(&mut self, request: &SetStockRequest) -> SetStockReply {
        let SetStockRequest { sku, units, preconditions } = request;
        let known = self.items.get(sku);
        if !preconditions.hold(known.map(ItemView::from).as_ref()) {
            return SetStockReply::NotAsRequired;
        }
        let mut item = known.cloned().unwrap_or_else(|| StockItem::new(sku.clone()));
        if item.set_available(*units).is_err() {
            return SetStockReply::TooMuch;
        }
        Stock::put(&mut self.items, item.clone());
        SetStockReply::Stored(item)
    }

    /// Reserves stock for a client; if that was done before for its idempotency key, only repeats the reply.
    pub(super) fn reserve_once(
        &mut self,
        request: &ReserveRequest,
        expiry: Option<Duration>,
        key_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<ReserveReply, Unacceptable> {
        let ReserveRequest { line, key_owner, idempotency_key } = request;
        if let Some(grant) = self.granted_before(idempotency_key.as_ref()) {
            return Ok(match grant {
                Grant::Reserved { line: before, id, remaining, expires_at } if before == line => {
                    ReserveReply::Reserved { id: *id, remaining: *remaining, expires_at: *expires_at }
                }
                Grant::Reserved { .. } | Grant::Released { .. } => ReserveReply::KeyReused,
            });
        }
        let reply = self.reserve(ClientRequest { line: line.clone(), key_owner: key_owner.clone(), expiry }, now)?;
        if let ReserveReply::Reserved { id, remaining, expires_at } = reply {
            let grant = Grant::Reserved { line: line.clone(), id, remaining, expires_at };
            self.remember(idempotency_key.as_ref(), grant, key_expires_at);
        }
        Ok(reply)
    }

    /// Releases what a client holds; if that was done before for its idempotency key, only repeats the reply.
    pub(super) fn release_once(
        &mut self,
        request: &ReleaseRequest,
        key_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<ReleaseReply, Unacceptable> {
        let ReleaseRequest { id, owner, idempotency_key } = request;
        if let Some(grant) = self.granted_before(idempotency_key.as_ref()) {
            return Ok(match grant {
                Grant::Released { id: before, line } if before == id => ReleaseReply::Released(line.clone()),
                Grant::Released { .. } | Grant::Reserved { .. } => ReleaseReply::KeyReused,
            });
        }
        let reply = self.release(*id, owner.as_ref().map(KeyOwner::as_str), now)?;
        if let ReleaseReply::Released(line) = &reply {
            let grant = Grant::Released { id: *id, line: line.clone() };
            self.remember(idempotency_key.as_ref(), grant, key_expires_at);
        }
        Ok(reply)
    }

    /// Returns what was done for an earlier request with this key. A request that was refused does not count.
    fn granted_before(&self, key: Option<&OwnedKey>) -> Option<&Grant> {
        self.keyed.get(key?).map(|request| &request.grant)
    }

    fn remember(&mut self, key: Option<&OwnedKey>, grant: Grant, expires_at: Timestamp) {
        if let Some(key) = key {
            self.keyed.put(key.clone(), KeyedRequest { key: key.clone(), grant, expires_at });
        }
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

    pub(super) fn wake_due(&mut self, now: Timestamp, hold_policy: &HoldPolicy) -> Vec<Event> {
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
            Reservation { wake_at: Some(now.after(UNREADABLE_DELAY)), ..reservation.clone() }
        });
        self.put(expired);
    }
}
