//! The stock, its reservations, and how events change them: pure code, without a database, a network or a clock.

mod keyed;
mod reservation;
mod stock;
#[cfg(test)]
mod tests;
mod transition;

pub use keyed::{Grant, KeyedRequest};
pub use reservation::{ClientRequest, HoldPolicy, Owner, Reservation, ReservationId, Return, State};
pub use stock::{Rejection, Stock, StockError, StockItem};
pub use transition::{Context, Impossible, Transition, on_event, on_tick};
