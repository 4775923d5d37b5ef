//! Runs a service: settings, startup, graceful shutdown, logs, metrics and the admin API.

pub mod admin;
mod index;
mod listeners;
mod metrics;
mod open_files;
mod operations;
pub mod program;
pub mod service;
pub mod settings;
pub mod signals;
pub mod startup;
pub mod telemetry;
mod traces;

pub use listeners::Listeners;
pub use metrics::Metrics;
pub use open_files::Served;
pub use operations::Operations;
pub use traces::Traces;

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
