use shared_events::{Event, EventBody, EventType, Line, Sku, Timestamp};

use super::{
    reservation::{HoldPolicy, Owner, Reservation, ReservationId, State},
    stock::{Rejection, Stock, StockError, hold_all},
};

/// What an event came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The saga's reservation, where it is new or changed.
    pub reservation: Option<Reservation>,
    /// What the world is told.
    pub says: Option<EventBody>,
}

/// Why an event cannot be. Trying again is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The order undoes what it confirmed.
    #[error("{0}, but the stock is sold: the order was confirmed before")]
    Sold(EventType),
    /// The order is confirmed without stock.
    #[error("OrderConfirmed, but no stock is held for the order: {0}")]
    NothingHeld(&'static str),
    /// The order is confirmed with other content than it was created with.
    #[error("OrderConfirmed, but with another number, other lines or another total than the stock is held for")]
    AnotherOrder,
    /// The flow table does not send this event here.
    #[error("{0} is not for the inventory")]
    NotForInventory(EventType),
    /// The stock does not hold what the reservation says: the database is damaged.
    #[error("the reservation holds {item_sku}, but in the stock {error}")]
    Stock {
        /// Of which item.
        item_sku: Sku,
        /// What is wrong with it.
        error: StockError,
    },
    /// No number was set aside for a new reservation.
    #[error("no number was set aside for this reservation")]
    NoNumber,
}

impl From<(Line, StockError)> for Impossible {
    fn from((line, error): (Line, StockError)) -> Self {
        Self::Stock { item_sku: line.sku, error }
    }
}

/// What an event makes of the reservation that is `known` for its saga, and of the stock. Idempotent: hearing the same
/// event again changes nothing, and is answered again where the order waits for the answer.
///
/// # Errors
/// If the event cannot be; nothing is changed then.
pub fn learn(
    known: Option<&Reservation>,
    event: &Event,
    stock: &mut impl Stock,
    new_ids: &mut impl Iterator<Item = ReservationId>,
    now: Timestamp,
    hold_policy: &HoldPolicy,
) -> Result<Step, Impossible> {
    use EventBody as E;
    let mut new = |state| -> Result<Reservation, Impossible> {
        let id = new_ids.next().ok_or(Impossible::NoNumber)?;
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
                    Step::of(Reservation { wake_at, ..made }, Some(E::StockReserved))
                }
                Err(rejection) => {
                    let Rejection { reason, item_sku } = rejection.clone();
                    let says = E::StockReservationFailed { reason, item_sku };
                    Step::of(Reservation { state: State::Rejected(rejection), ..made }, Some(says))
                }
            })
        }
        // Heard before, or undone before it was heard.
        (E::OrderCreated, Some(_)) => Ok(Step::default()),

        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, Some((held, State::Held))) => {
            Ok(Step::of(held.release(stock, now)?, Some(E::StockReleased)))
        }
        // Of a failed payment this is heard only where our database was lost.
        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, None) => {
            Ok(Step::of(new(State::Cancelled)?, Some(E::StockReleased)))
        }
        (E::PaymentFailed { .. } | E::OrderCancelRequested { .. }, Some((_, State::Sold))) => {
            Err(Impossible::Sold(event_type))
        }
        (E::PaymentFailed { .. }, Some((_, State::Released | State::Rejected(_) | State::Cancelled))) => {
            Ok(Step::default())
        }
        // Asked again because an answer is missing.
        (E::OrderCancelRequested { .. }, Some((_, State::Released | State::Rejected(_) | State::Cancelled))) => {
            Ok(Step { reservation: None, says: Some(E::StockReleased) })
        }

        (E::OrderConfirmed, Some((held, State::Held))) => {
            if !matches!(&held.owner, Owner::Saga { order, .. } if *order == event.order) {
                return Err(Impossible::AnotherOrder);
            }
            Ok(Step::of(held.sell(stock, now)?, None))
        }
        (E::OrderConfirmed, Some((_, State::Sold))) => Ok(Step::default()),
        (E::OrderConfirmed, None) => Err(Impossible::NothingHeld("there is no reservation")),
        (E::OrderConfirmed, Some((_, State::Released))) => Err(Impossible::NothingHeld("it was released")),
        (E::OrderConfirmed, Some((_, State::Rejected(_)))) => Err(Impossible::NothingHeld("it was rejected")),
        (E::OrderConfirmed, Some((_, State::Cancelled))) => {
            Err(Impossible::NothingHeld("the order was undone before it was heard of"))
        }

        (
            E::StockReserved
            | E::StockReservationFailed { .. }
            | E::PaymentAuthorized
            | E::StockReleased
            | E::OrderFailed { .. }
            | E::OrderCancelled
            | E::PaymentVoided
            | E::StockHoldOverdue,
            _,
        ) => Err(Impossible::NotForInventory(event_type)),
    }
}

impl Step {
    fn of(reservation: Reservation, says: Option<EventBody>) -> Self {
        Self { reservation: Some(reservation), says }
    }
}
