//! The HTTP layer of a service: problems (RFC 9457), extractors that refuse with problems, paging, health checks, a
//! router with an OpenAPI document, the server with TLS, and a client.
//!
//! Guarantees: whatever a client sends, the response is the handler's or a problem; a `500` never reveals its cause; no
//! body larger than [`MAX_BODY_BYTES`] is kept in memory; a slow client occupies only its own connection, and only for
//! a limited time. It does not limit how many requests run at once; a handler that is overloaded answers with
//! [`Problem::overloaded`].

mod accepted;
pub mod access;
mod audience;
mod audit;
mod body;
mod browser;
mod client;
mod conditional;
mod direction;
mod document;
mod edge;
mod extract;
pub mod health;
mod hex;
mod idempotency;
mod lists;
mod metrics;
mod openapi;
mod paging;
mod params;
mod probe;
mod problem;
mod problem_kind;
mod refusal;
mod router;
mod server;
mod startup_server;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod trace;
mod unread;

pub use accepted::accepted;
pub use audience::{Audience, Routes};
pub use audit::AuditLog;
pub use body::MAX_BODY_BYTES;
pub use browser::{BrowserPolicy, RequestOrigin, is_this_machine};
pub use client::{HttpClient, HttpError, HttpRequest, HttpResponse};
pub use conditional::{Known, Preconditions, tagged};
pub use direction::Direction;
pub use document::document;
pub use edge::Edge;
pub use extract::ApiJson;
pub use idempotency::{idempotency_key, key_reused};
pub use lists::ListTurns;
pub use metrics::HttpMetrics;
pub use paging::{Continuation, Limit, Page};
pub use params::{ApiPath, ApiQuery};
pub use probe::probe;
pub use problem::{FieldError, FieldErrors, PROBLEM_JSON, Problem};
pub use refusal::RequestCause;
pub use router::finish;
pub use server::{ConnectionLimits, DESCRIPTORS_BEYOND_LIMIT, ListenerConfig, serve};
pub use startup_server::StartupServer;
pub use tls::{CertificateFiles, ClientTls, ServerTls};

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
