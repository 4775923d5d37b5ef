//! The RabbitMQ broker against a real server, whose addresses `TEST_AMQP_URL` (as an administrator) and
//! `TEST_RABBITMQ_MANAGEMENT_URL` name: `cargo xtask test` brings one. Each test has a vhost of its own there; what would be in
//! the way of the others starts a server of its own.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

mod connection_loss;
mod consuming;
mod dead_letters;
mod figures;
mod messages;
mod node;
mod provisioned;
mod proxy;
mod publishing;
mod refusals;
mod server;
mod suite;
#[allow(dead_code, reason = "these tests use some of it")]
#[path = "../it/wait.rs"]
mod wait;
