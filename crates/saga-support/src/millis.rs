use std::time::Duration;

/// Returns a duration in whole milliseconds, for a log field: the `u128` of [`Duration::as_millis`] would be logged as
/// text.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
