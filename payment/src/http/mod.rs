//! The REST API of the payment service.

mod commands;
mod gateway;
mod queries;
mod routes;
mod state;
mod webhooks;
mod wire;

pub(crate) use routes::routes;
pub(crate) use state::AppState;
pub use wire::PaymentView;
