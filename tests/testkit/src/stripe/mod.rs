//! Stripe as a test plays it: an HTTP server with the part of the API that the adapter uses, which keeps its books,
//! refuses what Stripe refuses, and fails as Stripe fails.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this is test code: it fails where a test should")]

mod books;
mod faults;
mod objects;
mod server;

pub use books::Totals;
pub use faults::Fault;
pub use server::{API_KEY, FakeStripe};
