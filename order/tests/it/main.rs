//! The order service as its clients and the other services see it: over real HTTP, on each database, at an in-process
//! broker where the tests play inventory and payment.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod audit;
mod bad_input;
mod cancel;
mod captures;
mod harness;
mod http;
mod idempotency;
mod limits;
mod listing;
mod metrics;
mod migration;
mod owners;
mod postgres;
mod prefer;
mod reading;
mod redelivery;
mod redrive;
mod refunds;
mod saga;
mod stream;
mod timeline;
mod unreadable;
mod unsettled;
