//! The payment gateway: a trait, the calls that the service makes, a simulated implementation, an adapter to Stripe,
//! and the tests that every implementation has to pass.

mod calls;
pub mod conformance;
mod port;
mod simulated;
pub mod stripe;
mod types;

pub(crate) use calls::Calls;
pub use port::PaymentGateway;
pub use simulated::{Conditions, FailureRate, InvalidFailureRate, SimulatedGateway};
pub use types::{
    Decline, DeclineCode, GatewayPayment, GatewayRefund, GatewayState, Lookup, Outcome, PaymentMethod, PaymentRequest,
    Reference, RefundKey,
};
