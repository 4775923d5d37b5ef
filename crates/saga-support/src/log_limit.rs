//! Lines of the log that somebody outside could cause as often as they like.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Admits one line in a while, and counts those that it does not.
#[derive(Debug)]
pub struct LogLimit {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// At most one line in each `pause`.
    #[must_use]
    pub const fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::new(State { last: None, left_out: 0 }) }
    }

    /// Whether to write the line: `Some` with how many were left out since the last one that was written.
    #[must_use]
    pub fn admit(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < self.pause) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_soon_is_counted() {
        let limit = LogLimit::new(Duration::from_secs(3_600));
        assert_eq!([limit.admit(), limit.admit(), limit.admit()], [Some(0), None, None]);
        let limit = LogLimit::new(Duration::ZERO);
        assert_eq!([limit.admit(), limit.admit()], [Some(0), Some(0)]);
    }
}
