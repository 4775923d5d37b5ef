//! How times and durations are written.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use shared_events::Timestamp;

/// Returns the present time, by the clock of the console.
pub(crate) fn now() -> Timestamp {
    Timestamp::default().after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Returns the point in time for a person to read, in UTC to the millisecond: `2025-11-22 08:26:40.123`.
pub(crate) fn moment(at: Timestamp) -> Markup {
    let exact = at.to_string();
    let day = exact.get(..10).unwrap_or_default();
    let clock = exact.get(11..).unwrap_or_default().trim_end_matches('Z');
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    html! { time datetime=(exact) title=(exact) { (day) " " (seconds) "." (millis) } }
}

/// Returns the duration for a person to read, with about three digits: `0.4 ms`, `12.3 ms`, `1.24 s`, `2 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1_000.0;
    let seconds = duration.as_secs();
    match duration.as_millis() {
        0..100 => format!("{millis:.1} ms"),
        100..1_000 => format!("{millis:.0} ms"),
        1_000..10_000 => format!("{:.2} s", duration.as_secs_f64()),
        10_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_milliseconds() {
        for (micros, text) in [(0, "1970-01-01 00:00:00.000"), (1_763_800_000_120_456, "2025-11-22 08:26:40.120")] {
            let html = moment(Timestamp::from_unix_micros(micros)).into_string();
            assert!(html.contains(&format!(">{text}</time>")), "{html}");
        }
    }

    #[test]
    fn a_duration_has_the_unit_that_suits_it() {
        for (micros, text) in [
            (0, "0.0 ms"),
            (400, "0.4 ms"),
            (12_345, "12.3 ms"),
            (450_600, "451 ms"),
            (1_234_000, "1.23 s"),
            (12_340_000, "12.3 s"),
            (125_900_000, "2 min 5 s"),
            (7_500_000_000, "2 h 5 min"),
            (180_000_000_000, "2 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
