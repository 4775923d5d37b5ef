//! Measures time without the periods in which the broker has blocked the connection.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that stops while the broker has blocked the connection, because nothing can be confirmed during that time.
#[derive(Debug)]
pub(crate) struct UnblockedTime {
    started: Instant,
    blocked: Duration,
    blocked_since: Option<Instant>,
}

impl UnblockedTime {
    pub(crate) fn new(now: Instant) -> Self {
        Self { started: now, blocked: Duration::ZERO, blocked_since: None }
    }

    pub(crate) fn block(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    pub(crate) fn unblock(&mut self, now: Instant) {
        if let Some(since) = self.blocked_since.take() {
            self.blocked += now - since;
        }
    }

    /// Returns the unblocked time since the clock was created.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        self.blocked_since.unwrap_or(now) - self.started - self.blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_while_the_connection_is_blocked() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let elapsed = |clock: &UnblockedTime, seconds| clock.elapsed(at(seconds)).as_secs();
        let mut clock = UnblockedTime::new(start);
        assert_eq!((elapsed(&clock, 0), elapsed(&clock, 10)), (0, 10));
        clock.block(at(10));
        // The broker reports a second reason for blocking.
        clock.block(at(300));
        assert_eq!(elapsed(&clock, 1_000), 10);
        clock.unblock(at(1_010));
        assert_eq!((elapsed(&clock, 1_010), elapsed(&clock, 1_030)), (10, 30));
        clock.unblock(at(1_030));
        clock.block(at(1_040));
        clock.unblock(at(1_050));
        assert_eq!(elapsed(&clock, 1_060), 50);
    }
}
