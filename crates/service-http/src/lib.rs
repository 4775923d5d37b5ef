//! What the three services' REST sides share: problems (RFC 9457), extractors whose refusals are problems, paging, health,
//! the finished router with its OpenAPI document, and the server.
//!
//! Guarantees: whatever a client sends, the answer is the handler's or a problem; a `500` never carries its cause; no
//! body over [`MAX_BODY_BYTES`] is kept in memory; a slow client holds its own connection only, and not for ever.
//! It does not limit how many requests run at once: who is overloaded says so with [`Problem::overloaded`].

mod body;
mod edge;
mod extract;
pub mod health;
mod metrics;
mod openapi;
mod paging;
mod params;
mod probe;
mod problem;
mod refusal;
mod router;
mod server;
mod startup_server;
#[cfg(test)]
pub(crate) mod testing;

pub use body::MAX_BODY_BYTES;
pub use extract::ApiJson;
pub use metrics::HttpMetrics;
pub use paging::{Limit, Page};
pub use params::{ApiPath, ApiQuery};
pub use probe::probe;
pub use problem::{FieldError, FieldErrors, PROBLEM_JSON, Problem};
pub use refusal::RequestCause;
pub use router::finish;
pub use server::serve;
pub use startup_server::StartupServer;
