//! The REST API of the order service.

mod commands;
mod list;
mod prefer;
mod queries;
mod routes;
mod state;
mod stream;
mod wire;

pub(crate) use routes::routes;
pub(crate) use state::AppState;
pub use wire::{OrderView, TimelineEntry};
