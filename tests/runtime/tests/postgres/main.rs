//! The same tests on PostgreSQL: each on a database of its own on the test server.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

#[path = "../it/admin/mod.rs"]
mod admin;
#[path = "../it/batches.rs"]
mod batches;
#[path = "../it/broker/mod.rs"]
mod broker;
#[path = "../it/bulk.rs"]
mod bulk;
#[path = "../it/counting_participant.rs"]
mod counting_participant;
#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/dead_letter_queue.rs"]
mod dead_letter_queue;
#[path = "../it/engine_harness.rs"]
mod engine_harness;
#[path = "../it/external_calls.rs"]
mod external_calls;
#[path = "../it/identity.rs"]
mod identity;
#[path = "../it/in_process.rs"]
mod in_process;
#[path = "../it/metrics.rs"]
mod metrics;
#[path = "../it/one_system.rs"]
mod one_system;
#[path = "../it/outage.rs"]
mod outage;
#[path = "../it/parking.rs"]
mod parking;
#[path = "../it/relay.rs"]
mod relay;
#[path = "../it/scripted.rs"]
mod scripted;
#[path = "../it/wait.rs"]
mod wait;

mod locks;
mod opening;
mod startup;

#[path = "../shared/database.rs"]
mod test_database;
