use std::fmt;

use uuid::Uuid;

/// Where a client stands in the changes of a replica: the `id` of an event in the stream. Clients need not understand
/// it. Written as `SERIES-NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The series of changes that have no gap between them. A new one begins whenever changes were not kept, so also at
    /// each start of the service.
    pub(super) series: Uuid,
    /// The number of the change in it. The first one is 1.
    pub(super) number: u64,
}

impl Position {
    /// Returns the position before the first change of a new series.
    pub(super) fn begin() -> Self {
        Self { series: Uuid::now_v7(), number: 0 }
    }

    /// Parses a client's `Last-Event-ID`. What is not a position becomes one of no series, from which one cannot
    /// resume.
    pub(crate) fn parse(text: &str) -> Self {
        let parsed = text.split_once('-').and_then(|(series, number)| {
            Some(Self { series: Uuid::try_parse(series).ok()?, number: number.parse().ok()? })
        });
        parsed.unwrap_or(Self { series: Uuid::nil(), number: 0 })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.series.simple(), self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_parsed_from_its_text() {
        let position = Position { number: u64::MAX, ..Position::begin() };
        assert_eq!(Position::parse(&position.to_string()), position);
        let series = position.series.simple();
        for text in ["", "-", "7", "garbage", &format!("{series}"), &format!("{series}-"), &format!("{series}--1")] {
            assert!(Position::parse(text).series.is_nil(), "{text}");
        }
    }
}
