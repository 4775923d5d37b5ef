//! The order service as its clients and its replica_bus see it: the real service on a database file, over HTTP, with the
//! tests as inventory and payment.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod bad_input;
mod cancel;
mod harness;
mod http;
mod idempotency;
mod limits;
mod metrics;
mod parked;
mod peer;
mod prefer;
mod reading;
mod redelivery;
mod saga;
mod stream;
mod unreadable;

#[path = "../../../tests/runtime/tests/shared/parking.rs"]
mod parking;
#[path = "../../../tests/runtime/tests/shared/database.rs"]
mod test_database;
