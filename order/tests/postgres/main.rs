//! The same tests on PostgreSQL: each on a database of its own on the test server.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

#[path = "../it/bad_input.rs"]
mod bad_input;
#[path = "../it/cancel.rs"]
mod cancel;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/idempotency.rs"]
mod idempotency;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/parked.rs"]
mod parked;
#[path = "../it/peer.rs"]
mod peer;
#[path = "../it/prefer.rs"]
mod prefer;
#[path = "../it/reading.rs"]
mod reading;
#[path = "../it/redelivery.rs"]
mod redelivery;
#[path = "../it/saga.rs"]
mod saga;
#[path = "../it/stream.rs"]
mod stream;
#[path = "../it/unreadable.rs"]
mod unreadable;

mod clocks;
mod replicas;

#[path = "../../../tests/runtime/tests/shared/parking.rs"]
mod parking;
#[path = "../../../tests/runtime/tests/shared/database.rs"]
mod test_database;
