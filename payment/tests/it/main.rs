//! The payment service as the world sees it: real HTTP on a bound port, a database file, and the in-process broker, at
//! which the tests speak for the other two services.

#![allow(clippy::unwrap_used, reason = "tests")]

mod gateway;
mod harness;
mod http;
mod orders;
mod parked;
mod redelivery;
mod saga;
mod scripted;
mod unreadable;

#[path = "../../../tests/runtime/tests/shared/parking.rs"]
mod parking;
#[path = "../../../tests/runtime/tests/shared/database.rs"]
mod test_database;
