//! The time in which the broker takes messages.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that stands still while the broker has blocked the connection: nothing can be confirmed then.
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

    /// Since the start.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        self.blocked_since.unwrap_or(now) - self.started - self.blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_the_broker_takes_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let elapsed = |clock: &UnblockedTime, seconds| clock.elapsed(at(seconds)).as_secs();
        let mut clock = UnblockedTime::new(start);
        assert_eq!((elapsed(&clock, 0), elapsed(&clock, 10)), (0, 10));
        clock.block(at(10));
        // It says so again, for another reason.
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
