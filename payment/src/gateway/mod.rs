//! The payment gateway: a trait, the calls that the service makes, a simulated implementation, an adapter to Stripe,
//! and the tests that every implementation has to pass.

mod breaker;
mod calls;
pub mod conformance;
mod port;
mod simulated;
pub mod stripe;
mod types;

pub(crate) use breaker::Allowed;
pub(crate) use calls::{Asked, Calls, Question};
pub use port::PaymentGateway;
pub use simulated::{Conditions, FailureRate, InvalidFailureRate, SimulatedGateway};
pub use types::{
    Decline, DeclineCode, FailedRefund, GatewayPayment, GatewayRefund, GatewayState, Lookup, Outcome, PaymentRequest,
    Reference, RefundKey,
};
