use std::time::Duration;

/// A duration in whole milliseconds, for a field of the log: a `u128`, which [`Duration::as_millis`] gives, would be written as a
/// text.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
