//! Growing pauses between attempts. This is the only module that uses the crate `backoff` (see `docs/adr/0002`).

use std::time::Duration;

use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// Pauses that grow from `first` to `longest`, each randomised by up to half. They never end.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Starts a new series of pauses.
    #[must_use]
    pub fn growing(first: Duration, longest: Duration) -> Self {
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(longest)
            .with_multiplier(2.0)
            // The crate's default gives up after 15 minutes.
            .with_max_elapsed_time(None)
            .build();
        Self { policy, longest }
    }

    /// Returns the next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.policy.next_backoff().unwrap_or(self.longest)
    }

    /// Starts again with the first pause. Call it after a success.
    pub fn reset(&mut self) {
        self.policy.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_never_end() {
        let mut backoff = Backoff::growing(Duration::from_millis(10), Duration::from_secs(1));
        let first = backoff.next_pause();
        assert!(first <= Duration::from_millis(15), "{first:?}");
        // (Not `next_back` of an iterator, which would compute only one pause.)
        let mut late = first;
        for _ in 0..1_000 {
            late = backoff.next_pause();
        }
        assert!(late >= Duration::from_millis(500) && late <= Duration::from_millis(1_500), "{late:?}");
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(15));
    }
}
