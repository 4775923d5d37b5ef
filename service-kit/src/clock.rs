//! The one place that reads the clock; everything else gets the time with its input.

use std::time::{SystemTime, UNIX_EPOCH};

use shared_events::Timestamp;

/// The time now, to the microsecond.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
