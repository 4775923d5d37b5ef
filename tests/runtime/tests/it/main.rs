//! The runtime as the services use it: the brokers' promises, the engine with a participant of the tests' own, the relay
//! with brokers that misbehave, the database.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod admin;
mod batches;
mod broken_broker;
mod broken_promises;
mod broker;
mod bulk;
mod counting_participant;
mod crash;
mod database;
mod dead_letter_queue;
mod engine_harness;
mod external_calls;
mod identity;
mod in_process;
mod locked_file;
mod metrics;
mod one_system;
mod outage;
mod parking;
mod relay;
mod scripted;
mod wait;

#[path = "../shared/database.rs"]
mod test_database;
