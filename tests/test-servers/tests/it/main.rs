//! Tests of the servers with the real programs. If those are missing, the tests fail and explain what to install.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod disk;
mod end;
mod postgres;
mod processes;
mod rabbitmq;
mod replication;
