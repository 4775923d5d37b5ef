//! The payment service as its clients and the other services see it: over real HTTP, on each database, at an in-process
//! broker where the tests play the other two services.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod books;
mod captures;
mod conditions;
mod conformance;
mod gateway;
mod harness;
mod http;
mod idempotency;
mod intents;
mod migration;
mod orders;
mod postgres;
mod redelivery;
mod redrive;
mod refunds;
mod saga;
mod scripted;
mod stripe;
mod unreadable;
