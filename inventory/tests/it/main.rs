//! The inventory service as its clients and the other services see it: over real HTTP, on an SQLite file, with the
//! in-process broker. The tests play the order and the payment service.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod harness;
mod http;
mod parked;
mod redelivery;
mod saga;
mod unreadable;

#[path = "../../../tests/runtime/tests/shared/parking.rs"]
mod parking;
#[path = "../../../tests/runtime/tests/shared/database.rs"]
mod test_database;
