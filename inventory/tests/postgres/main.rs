//! The same tests on PostgreSQL: each on a database of its own on the test server.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/parked.rs"]
mod parked;
#[path = "../it/redelivery.rs"]
mod redelivery;
#[path = "../it/saga.rs"]
mod saga;
#[path = "../it/unreadable.rs"]
mod unreadable;

mod sequence;

#[path = "../../../tests/runtime/tests/shared/parking.rs"]
mod parking;
#[path = "../../../tests/runtime/tests/shared/database.rs"]
mod test_database;
