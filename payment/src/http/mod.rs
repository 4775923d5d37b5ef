//! The payment service over REST.

mod authorize;
mod read;
mod routes;
mod wire;

pub(crate) use routes::routes;
pub use wire::PaymentView;
