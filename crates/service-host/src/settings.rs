//! The settings that all services share: flags and environment variables, documented by `--help`.

use std::time::Duration;

use clap::Args;

use crate::telemetry::LogFormat;
use saga_message::framing;
use saga_runtime::EngineSettings;

/// Limits and timeouts, the same for every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Work")]
pub struct WorkSettings {
    /// Maximum number of inputs (commands and events) in one database transaction
    #[arg(long, env = "MAX_BATCH", default_value_t = 512, value_parser = at_least_one)]
    pub max_batch: usize,
    /// Maximum number of events in one published message. 1 is for the time of a rolling upgrade from a version that
    /// reads only single events
    #[arg(long, env = "MAX_EVENTS_PER_MESSAGE", default_value_t = framing::MAX_EVENTS, value_parser = at_least_one)]
    pub max_events_per_message: usize,
    /// Maximum number of commands that wait for the database; further ones are refused with 503
    #[arg(long, env = "MAX_WAITING", default_value_t = 4096, value_parser = at_least_one)]
    pub max_waiting: usize,
    /// Maximum number of unpublished messages; above it, new orders are refused with 503
    #[arg(long, env = "MAX_BACKLOG", default_value_t = 50_000)]
    pub max_backlog: u64,
    /// Maximum number of unacknowledged messages that the service takes from its queue
    #[arg(long, env = "PREFETCH", default_value_t = 128, value_parser = at_least_one)]
    pub prefetch: usize,
    /// Interval between checks for deadlines and overdue holds
    #[arg(long, env = "TICK", default_value = "1s", value_parser = humantime::parse_duration)]
    pub tick: Duration,
    /// How long handled message ids are remembered
    #[arg(long, env = "INBOX_RETENTION", default_value = "1day", value_parser = humantime::parse_duration)]
    pub inbox_retention: Duration,
    /// How long a graceful shutdown may take
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
}

/// Content and format of the logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// Log level, or a filter such as `info,saga_runtime=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info,sqlx::postgres::notice=warn,sea_orm_migration=warn,lapin=off")]
    pub log: String,
    /// Log format
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
}

impl WorkSettings {
    /// Returns the settings of the engine.
    #[must_use]
    pub fn engine(&self) -> EngineSettings {
        EngineSettings {
            max_batch: self.max_batch,
            max_events: self.max_events_per_message,
            max_waiting: self.max_waiting,
            tick: self.tick.max(Duration::from_millis(1)),
            inbox_retention: self.inbox_retention,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
