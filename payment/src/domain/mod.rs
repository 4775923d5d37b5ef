//! A payment, and how events and the answers of the gateway change it: pure code, without a database, a gateway or a
//! clock.

mod gateway_step;
#[cfg(test)]
mod interleavings;
mod payment;
mod refund;
mod state;
#[cfg(test)]
mod tests;
mod transition;

pub use gateway_step::{Answer, Step, on_answer};
pub use payment::{NewPayment, Payment, PaymentId, PaymentKey, Purpose, Task};
pub use refund::{Refund, RefundState, refund_reversed};
pub use state::State;
pub use transition::{Impossible, Transition, on_event, requested};
