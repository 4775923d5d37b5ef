use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize, de::Error as _, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z; its text form is RFC 3339 in UTC.
///
/// There is no `now` here: the time of an input is passed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the point in time `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Returns the point in time that is `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the point in time that is `duration` earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns how long after `earlier` this is, or zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn to_rfc3339(self) -> Option<String> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).ok()?;
        moment.format(&Rfc3339).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} µs after 1970", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_rfc3339().ok_or_else(|| S::Error::custom("a time outside the years 0 to 9999"))?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        let micros = moment.unix_timestamp_nanos() / 1_000;
        let stamp = i64::try_from(micros).map(Self).map_err(D::Error::custom)?;
        // At both ends of the range, a text with another offset can denote a time that has no text form in UTC.
        stamp.to_rfc3339().map(|_| stamp).ok_or_else(|| D::Error::custom("a time outside the years 0 to 9999"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_and_read_as_rfc_3339() {
        let moment = Timestamp::from_unix_micros(1_763_800_000_123_456);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2025-11-22T08:26:40.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        assert_eq!(serde_json::from_str::<Timestamp>("\"2025-11-22T09:26:40.123456+01:00\"").unwrap(), moment);
        for invalid in ["yesterday", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-23:59"] {
            assert!(serde_json::from_str::<Timestamp>(&format!("\"{invalid}\"")).is_err(), "{invalid}");
        }
        assert!(serde_json::to_string(&Timestamp::from_unix_micros(i64::MAX)).is_err());
    }
}
