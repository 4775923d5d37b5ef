//! The payment gateway: a trait, the calls that the service makes, and a simulated implementation.

mod api;
mod calls;
mod simulated;

pub use api::{GatewayError, PaymentGateway};
pub(crate) use calls::Calls;
pub use simulated::{Conditions, FailureRate, InvalidFailureRate, SimulatedGateway};
