//! How each input of the saga changes a reservation and the stock. Events may arrive in any order, and any number of
//! times.

use shared_events::{Event, EventBody, EventType, Line, RefundId, Sku, Timestamp};

use super::{
    reservation::{HoldPolicy, Owner, Reservation, ReservationId, Return, State},
    stock::{Rejection, Stock, StockError, hold_all},
};

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The saga's reservation, if it is new or has changed.
    pub reservation: Option<Reservation>,
    /// The event to publish.
    pub event: Option<EventBody>,
}

/// Why an event cannot be handled. Retrying it does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// An order that was confirmed is cancelled, or its payment fails.
    #[error("{0}, but the stock is sold: the order was confirmed before")]
    Sold(EventType),
    /// An order is confirmed for which no stock is held.
    #[error("OrderConfirmed, but no stock is held for the order: {0}")]
    NothingHeld(&'static str),
    /// An order is confirmed with other content than it was created with.
    #[error("OrderConfirmed, but its id, lines or total differ from those of the order that the stock is held for")]
    AnotherOrder,
    /// Goods come back that were never sold.
    #[error("goods of the refund {0} come back, but no stock was sold for the order")]
    NotSold(RefundId),
    /// The flow table does not send this event here.
    #[error("{0} is not for the inventory")]
    NotForInventory(EventType),
    /// The stock does not hold what the reservation contains: the database is damaged.
    #[error("the reservation holds {item_sku}, but the stock does not: {error}")]
    Stock {
        /// The item.
        item_sku: Sku,
        /// What is wrong with it.
        error: StockError,
    },
    /// No id was allocated for a new reservation.
    #[error("no id was allocated for this reservation")]
    NoId,
}

impl From<(Line, StockError)> for Impossible {
    fn from((line, error): (Line, StockError)) -> Self {
        Self::Stock { item_sku: line.sku, error }
    }
}

/// What the decision about an event needs besides the reservation.
#[derive(Debug)]
pub struct Context<'a, S, I> {
    /// The stock of the items.
    pub stock: &'a mut S,
    /// Ids for new reservations.
    pub new_ids: &'a mut I,
    /// The time of the event's arrival.
    pub now: Timestamp,
    /// How long stock is held before the order service is asked about it.
    pub hold_policy: &'a HoldPolicy,
}

/// Decides how an event changes the stock and the reservation that is `known` for its saga. Idempotent: a repeated
/// event changes nothing, and a repeated cancellation is answered again.
///
/// # Errors
/// If the event is impossible in this state. Nothing is changed then.
pub fn on_event(
    known: Option<&Reservation>,
    event: &Event,
    context: Context<'_, impl Stock, impl Iterator<Item = ReservationId>>,
) -> Result<Transition, Impossible> {
    let Context { stock, new_ids, now, hold_policy } = context;
    use EventBody as E;
    let mut new = |state| -> Result<Reservation, Impossible> {
        let id = new_ids.next().ok_or(Impossible::NoId)?;
        let owner = Owner::Saga { saga_id: event.saga_id, order: event.order.clone() };
        Ok(Reservation::made(id, owner, state, now))
    };
    let event_type = event.body.event_type();
    match (&event.body, known.map(|known| (known, &known.state))) {
        (E::OrderCreated, None) => {
            let made = new(State::Held)?;
            Ok(match hold_all(stock, event.order.lines.iter()) {
                Ok(()) => {
                    let wake_at = Some(now.after(hold_policy.hold_time));
                    Transition::of(Reservation { wake_at, ..made }, Some(E::StockReserved))
                }
                Err(rejection) => {
                    let Rejection { reason, item_sku } = rejection.clone();
                    let event = E::StockReservationFailed { reason, item_sku };
                    Transition::of(Reservation { state: State::Rejected(rejection), ..made }, Some(event))
                }
            })
        }
        // A duplicate, or the cancellation arrived first.
        (E::OrderCreated, Some(_)) => Ok(Transition::default()),

        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, Some((held, State::Held))) => {
            Ok(Transition::of(held.release(stock, now)?, Some(E::StockReleased)))
        }
        // A `PaymentFailed` arrives in this state only if this database was lost.
        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, None) => {
            Ok(Transition::of(new(State::Cancelled)?, Some(E::StockReleased)))
        }
        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, Some((_, State::Sold))) => {
            Err(Impossible::Sold(event_type))
        }
        (E::PaymentFailed { .. }, Some((_, State::Released | State::Rejected(_) | State::Cancelled))) => {
            Ok(Transition::default())
        }
        // The cancellation is repeated because an answer is missing.
        (E::OrderCancelRequested { .. }, Some((_, State::Released | State::Rejected(_) | State::Cancelled))) => {
            Ok(Transition { reservation: None, event: Some(E::StockReleased) })
        }

        (E::OrderConfirmed, Some((held, State::Held))) => {
            if !matches!(&held.owner, Owner::Saga { order, .. } if *order == event.order) {
                return Err(Impossible::AnotherOrder);
            }
            Ok(Transition::of(held.sell(stock, now)?, None))
        }
        (E::OrderConfirmed, Some((_, State::Sold))) => Ok(Transition::default()),
        (E::OrderConfirmed, None) => Err(Impossible::NothingHeld("there is no reservation")),
        (E::OrderConfirmed, Some((_, State::Released))) => Err(Impossible::NothingHeld("it was released")),
        (E::OrderConfirmed, Some((_, State::Rejected(_)))) => Err(Impossible::NothingHeld("it was rejected")),
        (E::OrderConfirmed, Some((_, State::Cancelled))) => {
            Err(Impossible::NothingHeld("it was cancelled before OrderCreated arrived"))
        }

        (E::PaymentRefunded { refund }, known) => {
            let Some(lines) = &refund.restock else { return Ok(Transition::default()) };
            let back = Return { refund_id: refund.refund_id, lines: lines.clone() };
            let returned = E::StockReturned { refund: refund.clone() };
            let changed = match known {
                Some((sold, State::Sold)) if sold.has_returned(refund.refund_id) => {
                    return Ok(Transition { reservation: None, event: Some(returned) });
                }
                Some((sold, State::Sold)) => sold.take_back(back, stock, now)?,
                // A refund is of a confirmed order, so its `OrderConfirmed` is under way.
                Some((held, State::Held)) => {
                    held.check_return(&back)?;
                    held.sell(stock, now)?.take_back(back, stock, now)?
                }
                _ => return Err(Impossible::NotSold(refund.refund_id)),
            };
            Ok(Transition::of(changed, Some(returned)))
        }

        (
            E::StockReserved
            | E::StockReservationFailed { .. }
            | E::PaymentAuthorized
            | E::StockReleased
            | E::OrderFailed { .. }
            | E::OrderCancelled
            | E::PaymentVoided
            | E::StockHoldOverdue
            | E::PaymentCaptured
            | E::PaymentCaptureFailed
            | E::RefundRequested { .. }
            | E::PaymentRefundFailed { .. }
            | E::StockReturned { .. },
            _,
        ) => Err(Impossible::NotForInventory(event_type)),
    }
}

/// Handles a tick of the timer: if stock is held for an order for too long, the order service is asked about it.
#[must_use]
pub fn on_tick(reservation: &Reservation, now: Timestamp, hold_policy: &HoldPolicy) -> Transition {
    let mut changed = reservation.clone();
    match changed.wake(now, hold_policy) {
        Some(event) => Transition::of(changed, Some(event.body)),
        None => Transition::default(),
    }
}

impl Transition {
    fn of(reservation: Reservation, event: Option<EventBody>) -> Self {
        Self { reservation: Some(reservation), event }
    }
}
