//! What a payment is and how it comes about: pure, without a database, a gateway or a clock.

#[cfg(test)]
mod interleavings;
mod payment;
mod saga;

pub use payment::{Answer, NewPayment, Payment, PaymentId, PaymentKey, State};
pub use saga::{Outcome, cancel_requested, stock_reserved, voided_at_gateway};
