//! The order service over REST.

mod place;
mod prefer;
mod read;
mod routes;
mod stream;
mod wire;

pub(crate) use routes::routes;
pub use wire::{OrderView, TimelineEntry};
