//! The payment gateway, behind one trait: what the service asks of it, how it asks, and one that is simulated.

mod api;
mod calls;
mod simulated;

pub use api::{GatewayError, PaymentGateway};
pub(crate) use calls::Calls;
pub use simulated::{FailureRate, NotARate, SimulatedGateway};
