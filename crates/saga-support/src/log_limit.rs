//! A rate limit for log lines that an outside party could otherwise cause without limit.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Admits at most one log line in a period, and counts the others.
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
    /// Admits at most one line in each `pause`.
    #[must_use]
    pub const fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::new(State { last: None, left_out: 0 }) }
    }

    /// Returns `Some` if the line is to be written, with the number of lines left out since the last written one.
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
