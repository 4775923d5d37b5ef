//! Helpers that the other crates share: growing backoff, rate-limited log lines, secrets from files, durations
//! with limits.

mod backoff;
mod durations;
mod log_limit;
mod millis;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;

pub use backoff::Backoff;
pub use durations::{DAY, HOUR, MILLISECOND, YEAR, duration};
pub use log_limit::LogLimit;
pub use millis::millis;
pub use settings::{for_service, host_name, read_secret};

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
