//! The harness of a single service: the real service, in the process of its test, with a database of its own, an HTTP
//! client, and an in-process broker on which the test plays the other services.
//!
//! This module depends on none of the services: a service's tests implement [`TestedService`], which starts theirs, and
//! get the rest from [`ServiceHarness`]. A test that runs on both databases takes a [`DatabaseKind`] as an argument,
//! which `rstest` provides:
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
mod keys;
mod message;
mod peer;
mod wait;

pub use database::{DatabaseKind, TestDatabase, execute};
pub use harness::{ADMIN_TOKEN, ServiceHarness, TestedService};
pub use http::{Answer, HttpClient, answer};
pub use keys::TestKey;
pub use message::{caused_by, new_message, outgoing};
pub use peer::Peer;
pub use wait::{TIMEOUT, until, within_timeout};
