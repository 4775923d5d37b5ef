use std::time::Duration;

/// The shortest pause or timeout that makes sense.
pub const MILLISECOND: Duration = Duration::from_millis(1);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A year of 365 days.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns a parser of durations such as `1h 30min`, both limits included, for settings. With limits, no setting can
/// overflow a time, or let a loop run without a pause.
///
/// The parser fails if the text is no duration, or beyond a limit, which the error names.
pub fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        let limit = |word: &str, limit| Err(format!("must be at {word} {}", humantime::format_duration(limit)));
        match duration {
            _ if duration < least => limit("least", least),
            _ if duration > most => limit("most", most),
            _ => Ok(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_within_its_limits_or_the_error_says_which() {
        let parse = duration(Duration::from_millis(10), DAY);
        assert_eq!(parse("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse("24h"), Ok(DAY));
        assert_eq!(parse("1h 30min"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("0s"), Err("must be at least 10ms".to_owned()));
        assert_eq!(parse("9999us"), Err("must be at least 10ms".to_owned()));
        assert_eq!(parse("24h 1ns"), Err("must be at most 1day".to_owned()));
        assert_eq!(parse("500000000000years"), Err("must be at most 1day".to_owned()));
        for text in ["", "1", "-1s", "s", "1e3s", "18446744073709551616s", "99999999999999999999years"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
