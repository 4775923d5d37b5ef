//! The harness of a single service: the real service, in the process of its test, on a database of its own; at an
//! in-process broker where the test plays the other services; with an HTTP client.
//!
//! The service is an argument: this module depends on none of them. A service's tests say in [`TestedService`] how
//! theirs is started, and get the rest from [`ServiceHarness`]. The database is an argument, too: a test that runs on
//! both takes a [`DatabaseKind`], which `rstest` gives it:
//!
//! ```text
//! #[rstest]
//! #[tokio::test]
//! async fn it_works(#[values(Sqlite, Postgres)] database: DatabaseKind) {
//! ```
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this is test code: it fails where a test should")]

mod database;
mod harness;
mod http;
mod message;
mod peer;
mod wait;

pub use database::{DatabaseKind, TestDatabase};
pub use harness::{ADMIN_TOKEN, ServiceHarness, TestedService};
pub use http::{Answer, HttpClient, answer};
pub use message::{caused_by, new_message, outgoing};
pub use peer::Peer;
pub use wait::{TIMEOUT, until, within_timeout};
