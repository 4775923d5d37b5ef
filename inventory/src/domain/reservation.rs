use std::{fmt, time::Duration};

use shared_events::{Event, EventBody, Line, OrderDetails, SagaId, Timestamp};

use super::stock::{Rejection, Stock, StockError, StockItem, each_line, hold_all};

/// The number of a reservation, as REST shows it: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(pub i64);

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was decided about the stock of one order, or of one request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// Its number.
    pub id: ReservationId,
    /// For whom.
    pub owner: Owner,
    /// What became of it.
    pub state: State,
    /// When it was made.
    pub made_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
    /// When the clock is to look at it: once it is held for longer than an order should take. `None` where nothing is held
    /// for a saga.
    pub wake_at: Option<Timestamp>,
    /// How often the order was asked what became of it.
    pub repeats: u32,
}

/// For whom stock is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An order, whose events decide what becomes of it.
    Saga {
        /// The order's saga; it has one reservation at most.
        saga_id: SagaId,
        /// The order.
        order: OrderDetails,
    },
    /// A client that asked for it over REST, and gives it back in the same way.
    Client {
        /// What it asked for.
        line: Line,
    },
}

/// What became of a reservation. Only `Held` ever changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Every line is held.
    Held,
    /// It was held and is available again.
    Released,
    /// It was held and is the customer's.
    Sold,
    /// Nothing was ever held, because of one item.
    Rejected(Rejection),
    /// Nothing was ever held, and nothing will be: the order was undone before it was heard of (a tombstone).
    Cancelled,
}

/// How long stock is held before the order is asked what became of it, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldPolicy {
    /// How long stock is held for an order before the order is asked what became of it; also the first pause between two
    /// questions. Each next pause is twice as long.
    pub hold_time: Duration,
    /// The longest pause between two questions.
    pub longest_repeat: Duration,
}

impl Reservation {
    /// What is reserved, each item once, sorted by SKU.
    pub fn lines(&self) -> std::slice::Iter<'_, Line> {
        match &self.owner {
            Owner::Saga { order, .. } => order.lines.iter(),
            Owner::Client { line } => std::slice::from_ref(line).iter(),
        }
    }

    /// Its saga, where it has one.
    #[must_use]
    pub fn saga_id(&self) -> Option<SagaId> {
        match self.owner {
            Owner::Saga { saga_id, .. } => Some(saga_id),
            Owner::Client { .. } => None,
        }
    }

    /// Holds stock for a client, until the client gives it back.
    ///
    /// # Errors
    /// If the item is unknown, or there is too little of it.
    pub fn hold_for_client(
        id: ReservationId,
        line: Line,
        stock: &mut impl Stock,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        hold_all(stock, std::iter::once(&line))?;
        Ok(Self::made(id, Owner::Client { line }, State::Held, now))
    }

    /// A reservation that nobody wakes.
    pub(super) fn made(id: ReservationId, owner: Owner, state: State, now: Timestamp) -> Self {
        Self { id, owner, state, made_at: now, changed_at: now, wake_at: None, repeats: 0 }
    }

    /// Gives back what is held.
    ///
    /// # Errors
    /// If the stock does not hold it, which only a damaged database can bring about.
    pub fn release(&self, stock: &mut impl Stock, now: Timestamp) -> Result<Self, (Line, StockError)> {
        self.end(State::Released, StockItem::release, stock, now)
    }

    /// Makes what is held the customer's; errors as [`release`](Self::release).
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
        debug_assert_eq!(self.state, State::Held, "only what is held can be given back or sold");
        each_line(stock, self.lines(), step).map_err(|(line, error)| (line.clone(), error))?;
        Ok(Self { state, changed_at: now, wake_at: None, ..self.clone() })
    }

    /// The clock looks at it: an order for which stock is held for too long is asked what became of it.
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
