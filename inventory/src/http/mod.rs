//! The REST API of the inventory service.

mod commands;
mod queries;
mod reservations;
mod routes;
mod state;
mod wire;

pub use reservations::ReservationView;
pub(crate) use routes::routes;
pub(crate) use state::AppState;
pub use wire::ItemView;
