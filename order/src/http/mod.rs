//! The REST API of the order service.

mod commands;
mod list;
mod prefer;
mod queries;
mod refunds;
mod routes;
mod state;
mod stream;
mod timeline;
mod unsettled;
mod wire;

pub(crate) use routes::routes;
pub(crate) use state::AppState;
pub use timeline::TimelineEntry;
pub use wire::OrderView;
