//! The three services as processes, on a PostgreSQL and a RabbitMQ of their own: whatever fails, nothing that was answered is
//! lost and nothing happens twice. Each test starts its own servers; one test at a time is enough for a machine.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod crashes;
mod replicas;
