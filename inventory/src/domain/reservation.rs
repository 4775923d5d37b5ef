use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use shared_events::{Event, EventBody, Line, Lines, OrderDetails, RefundId, SagaId, Sku, Timestamp};

use super::stock::{Rejection, Stock, StockError, StockItem, each_line, hold_all};

/// The id of a reservation, as shown by REST: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ReservationId(pub i64);

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The decision about the stock of one order, or of one request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// The order or client that it is for.
    pub owner: Owner,
    /// Its state.
    pub state: State,
    /// When it was made.
    pub made_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
    /// When it is due: for a saga, once the stock is held for longer than an order should take; for a client, when it
    /// expires. `None` if nothing is held, or if it does not expire.
    pub wake_at: Option<Timestamp>,
    /// How often `StockHoldOverdue` was published.
    pub repeats: u32,
    /// What came back after the sale.
    pub returns: Vec<Return>,
}

/// The goods that came back with one refund.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Return {
    /// The refund.
    pub refund_id: RefundId,
    /// The goods.
    pub lines: Lines,
}

/// The order or client that stock is held for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An order. Its events decide whether the stock is sold or released.
    Saga {
        /// The order's saga. It has at most one reservation.
        saga_id: SagaId,
        /// The order.
        order: OrderDetails,
    },
    /// A client that has reserved the stock over REST, and releases it over REST.
    Client {
        /// The reserved line.
        line: Line,
        /// The owner of the client's API key, whose keys alone can release it; empty if it had no key.
        key_owner: String,
    },
}

/// The request of a client to hold stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// The line to reserve.
    pub line: Line,
    /// The owner of the client's API key; empty for none.
    pub key_owner: String,
    /// How long it is held if the client does not release it; `None` for any time.
    pub expiry: Option<Duration>,
}

/// The state of a reservation. Only `Held` can change; what was sold can come back, and stays `Sold`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Every line is held.
    Held,
    /// It was held, and is available again.
    Released,
    /// It was held, and is sold.
    Sold,
    /// Nothing was ever held, because of one item.
    Rejected(Rejection),
    /// Nothing was ever held, and nothing will be, because the cancellation of the order arrived before the order
    /// itself (a tombstone).
    Cancelled,
}

/// How long stock is held before the order service is asked about it, and how often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldPolicy {
    /// How long stock is held for an order before `StockHoldOverdue` is published. It is also the first pause before
    /// that event is repeated; each next pause is twice as long.
    pub hold_time: Duration,
    /// The longest such pause.
    pub longest_repeat: Duration,
}

impl Reservation {
    /// Returns the reserved lines: each item once, sorted by SKU.
    pub fn lines(&self) -> std::slice::Iter<'_, Line> {
        match &self.owner {
            Owner::Saga { order, .. } => order.lines.iter(),
            Owner::Client { line, .. } => std::slice::from_ref(line).iter(),
        }
    }

    /// Returns its saga, if it has one.
    #[must_use]
    pub fn saga_id(&self) -> Option<SagaId> {
        match self.owner {
            Owner::Saga { saga_id, .. } => Some(saga_id),
            Owner::Client { .. } => None,
        }
    }

    /// Returns whether a caller may see and release it who may do so for `owner` only; for all, if it is `None`. What
    /// is held for an order belongs to none of them.
    #[must_use]
    pub fn is_visible_to(&self, owner: Option<&str>) -> bool {
        owner.is_none_or(|owner| matches!(&self.owner, Owner::Client { key_owner, .. } if key_owner == owner))
    }

    /// Returns when it expires; `None` if it is not held for a client, or does not expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let of_a_client = matches!(self.owner, Owner::Client { .. });
        self.wake_at.filter(|_| of_a_client && self.state == State::Held)
    }

    /// Returns whether it is held for a client, and its time is over.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Holds stock for a client, until the client releases it or it expires.
    ///
    /// # Errors
    /// If the item is unknown, or its stock is insufficient.
    pub fn hold_for_client(
        id: ReservationId,
        request: ClientRequest,
        stock: &mut impl Stock,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let ClientRequest { line, key_owner, expiry } = request;
        hold_all(stock, std::iter::once(&line))?;
        let wake_at = expiry.map(|expiry| now.after(expiry));
        Ok(Self { wake_at, ..Self::made(id, Owner::Client { line, key_owner }, State::Held, now) })
    }

    /// Creates a reservation that is never due.
    pub(super) fn made(id: ReservationId, owner: Owner, state: State, now: Timestamp) -> Self {
        Self { id, owner, state, made_at: now, changed_at: now, wake_at: None, repeats: 0, returns: Vec::new() }
    }

    /// Releases what is held.
    ///
    /// # Errors
    /// If the stock does not hold it, which is possible only if the database is damaged.
    pub fn release(&self, stock: &mut impl Stock, now: Timestamp) -> Result<Self, (Line, StockError)> {
        self.end(State::Released, StockItem::release, stock, now)
    }

    /// Sells what is held; fails like [`release`](Self::release).
    pub(super) fn sell(&self, stock: &mut impl Stock, now: Timestamp) -> Result<Self, (Line, StockError)> {
        self.end(State::Sold, StockItem::sell, stock, now)
    }

    fn end(
        &self,
        state: State,
        step: impl Fn(&mut StockItem, shared_events::Quantity) -> Result<(), StockError>,
        stock: &mut impl Stock,
        now: Timestamp,
    ) -> Result<Self, (Line, StockError)> {
        debug_assert_eq!(self.state, State::Held, "only held stock can be released or sold");
        each_line(stock, self.lines(), step).map_err(|(line, error)| (line.clone(), error))?;
        Ok(Self { state, changed_at: now, wake_at: None, ..self.clone() })
    }

    /// Takes back what was sold.
    ///
    /// # Errors
    /// If more comes back than was sold for the order, or the stock contradicts that it was sold.
    pub(super) fn take_back(
        &self,
        back: Return,
        stock: &mut impl Stock,
        now: Timestamp,
    ) -> Result<Self, (Line, StockError)> {
        self.check_return(&back)?;
        each_line(stock, back.lines.iter(), StockItem::take_back).map_err(|(line, error)| (line.clone(), error))?;
        let returns = self.returns.iter().cloned().chain([back]).collect();
        Ok(Self { changed_at: now, returns, ..self.clone() })
    }

    /// Checks that no more comes back than was reserved.
    pub(super) fn check_return(&self, back: &Return) -> Result<(), (Line, StockError)> {
        let is_too_much = |line: &&Line| {
            let reserved = self.lines().find(|reserved| reserved.sku == line.sku);
            let left = reserved.map_or(0, |reserved| reserved.quantity.units()) - self.returned(&line.sku);
            line.quantity.units() > left
        };
        back.lines.iter().find(is_too_much).map_or(Ok(()), |line| Err((line.clone(), StockError::NotHeld)))
    }

    /// Returns whether the goods of this refund came back.
    #[must_use]
    pub fn has_returned(&self, refund_id: RefundId) -> bool {
        self.returns.iter().any(|back| back.refund_id == refund_id)
    }

    /// Returns how many units of an item came back.
    #[must_use]
    pub fn returned(&self, sku: &Sku) -> i64 {
        let lines = self.returns.iter().flat_map(|back| back.lines.iter());
        lines.filter(|line| line.sku == *sku).map(|line| line.quantity.units()).sum()
    }

    /// Called by the timer. If stock is held for an order for too long, returns `StockHoldOverdue`, which asks the
    /// order service about it.
    pub fn wake(&mut self, now: Timestamp, hold_policy: &HoldPolicy) -> Option<Event> {
        let Owner::Saga { saga_id, order } = &self.owner else { return None };
        if self.state != State::Held || self.wake_at.is_none_or(|at| at > now) {
            return None;
        }
        let pause = hold_policy.hold_time.saturating_mul(2_u32.saturating_pow(self.repeats));
        self.repeats = self.repeats.saturating_add(1);
        self.wake_at = Some(now.after(pause.min(hold_policy.longest_repeat)));
        Some(Event { saga_id: *saga_id, order: order.clone(), body: EventBody::StockHoldOverdue })
    }
}
