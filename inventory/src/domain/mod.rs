//! What stock is, who holds it, and what an event makes of that: pure, without a database, a network or a clock.

mod reservation;
mod saga;
mod stock;
#[cfg(test)]
mod tests;

pub use reservation::{HoldPolicy, Owner, Reservation, ReservationId, State};
pub use saga::{Impossible, Step, learn};
pub use stock::{Rejection, Stock, StockError, StockItem};
