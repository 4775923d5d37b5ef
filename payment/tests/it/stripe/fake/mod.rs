//! Stripe as a test plays it: an HTTP server with the part of the API that the adapter uses, which keeps its books,
//! refuses what Stripe refuses, and fails as Stripe fails.

mod books;
mod faults;
mod objects;
mod server;

pub(crate) use books::Totals;
pub(crate) use faults::Fault;
pub(crate) use server::{API_KEY, FakeStripe};
