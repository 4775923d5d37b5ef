//! The inventory service as its clients and the other services see it: over real HTTP, on each database, at an
//! in-process broker where the tests play the order and the payment service.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod audit;
mod conditional;
mod expiry;
mod harness;
mod http;
mod idempotency;
mod owners;
mod postgres;
mod redelivery;
mod redrive;
mod reservations;
mod returns;
mod saga;
mod unreadable;
