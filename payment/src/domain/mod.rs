//! A payment, and how events change it: pure code, without a database, a gateway or a clock.

#[cfg(test)]
mod interleavings;
mod payment;
mod transition;

pub use payment::{Answer, NewPayment, Payment, PaymentId, PaymentKey, State};
pub use transition::{Context, Impossible, Transition, on_event, on_voided};
