//! The runtime that the three services share. It names no event: what an input means is the services' business.

pub mod broker;
pub mod database;
pub mod dead_letters;
pub mod engine;
pub mod http;
pub mod relay;
pub mod retry;
pub mod shutdown;
pub mod telemetry;
