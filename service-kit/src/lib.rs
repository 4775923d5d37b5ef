//! The runtime that the three services share: the engine and its mailbox, inbox, outbox and relay, the brokers, dead
//! letters, the database's two doors, HTTP scaffolding, settings, logs and shutdown.
//!
//! It guarantees that a business change, the message that caused it and the events that it causes are durable together or
//! not at all, and that an event is published at least once and handled once. It names no event: what an input means is
//! the services' business ([`engine::Participant`]).

pub mod admin;
pub mod broker;
pub mod clock;
pub mod consumer;
pub mod database;
pub mod engine;
pub mod http;
pub mod identity;
mod log_limit;
pub mod metrics;
pub mod program;
pub mod relay;
pub mod retry;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
