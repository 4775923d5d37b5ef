use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

/// How long a client wants to wait, from its `Prefer` header (RFC 7240): `respond-async`, `wait=10`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Preference {
    /// How long to wait for the order's end.
    pub(super) wait: Duration,
    /// The value of `Preference-Applied`, if a preference was applied.
    pub(super) applied: Option<HeaderValue>,
}

/// The longest wait that a client can ask for.
const LONGEST: Duration = Duration::from_secs(60);

impl Preference {
    /// Parses the headers. Without a preference, the wait is `default`.
    pub(super) fn of(headers: &HeaderMap, default: Duration) -> Self {
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let preferences =
            values.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one).trim());
        let (mut wait, mut respond_async) = (None, false);
        for preference in preferences {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => respond_async = true,
                // If there are several, the first one counts.
                "wait" => wait = wait.or(value.trim().trim_matches('"').parse::<u64>().ok()),
                _ => {}
            }
        }
        match (wait, respond_async) {
            // Both together mean: respond asynchronously, unless the order ends within the wait.
            (Some(seconds), _) => {
                let wait = Duration::from_secs(seconds).min(LONGEST);
                Self { wait, applied: HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok() }
            }
            (None, true) => Self { wait: Duration::ZERO, applied: Some(HeaderValue::from_static("respond-async")) },
            (None, false) => Self { wait: default, applied: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_parsed() {
        for (header, seconds, applied) in [
            ("", 5, None),
            ("respond-async", 0, Some("respond-async")),
            ("Respond-Async", 0, Some("respond-async")),
            ("wait=2", 2, Some("wait=2")),
            ("wait=0", 0, Some("wait=0")),
            ("respond-async, wait=10", 10, Some("wait=10")),
            ("wait=1, wait=7", 1, Some("wait=1")),
            ("handling=lenient; foo, wait=3", 3, Some("wait=3")),
            ("wait=99999", 60, Some("wait=60")),
            ("wait=-1", 5, None),
            ("wait=soon", 5, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", header.parse().unwrap());
            let preference = Preference::of(&headers, Duration::from_secs(5));
            let applied = applied.map(HeaderValue::from_static);
            assert_eq!(preference, Preference { wait: Duration::from_secs(seconds), applied }, "{header}");
        }
    }
}
