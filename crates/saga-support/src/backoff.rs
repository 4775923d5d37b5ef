//! Growing backoff between tries. The only place that knows the crate `backoff` (see `docs/adr/0002`).

use std::time::Duration;

use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// Pauses that grow from `first` to `longest`, each randomised by half, for ever.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// A fresh run of backoff.
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

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.policy.next_backoff().unwrap_or(self.longest)
    }

    /// Begins again with the first pause, after a success.
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
        // (Not an iterator's last element: asked from behind, it would make one pause only.)
        let mut late = first;
        for _ in 0..1_000 {
            late = backoff.next_pause();
        }
        assert!(late >= Duration::from_millis(500) && late <= Duration::from_millis(1_500), "{late:?}");
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(15));
    }
}
