//! Logs: readable lines on a terminal, one JSON object per line otherwise. `RUST_LOG` sets the filter.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable on a terminal, JSON otherwise.
    Auto,
    /// Readable lines.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// A connection that a pool opens and the service then refuses, because a standby answers, for example, is an error for
/// the pool, again and again. `saga-database` says once which server cannot be used, and why.
const POOL: &str = "sqlx_core::pool::inner=off";

/// Sends logs to standard error. `filter` is in the syntax of `RUST_LOG`, such as `info,saga_runtime=debug`.
///
/// # Errors
/// If `filter` is not in that syntax, or logging is already set up.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{POOL},{filter}"))?;
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(stderr)).try_init()?;
    } else {
        registry.with(fmt::layer().compact().with_target(false).with_writer(stderr)).try_init()?;
    }
    Ok(())
}
