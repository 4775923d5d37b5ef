//! Waiting for a state, with a deadline.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::timeout;

/// How long the suite waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// How long to wait for a state before the test fails: far longer than a working broker needs. 30 s by default.
    pub deadline: Duration,
    /// How long to watch that something does not happen. 100 ms by default.
    pub quiet: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), quiet: Duration::from_millis(100) }
    }
}

impl TimeLimits {
    /// Waits for `future`, and returns its output.
    ///
    /// # Panics
    /// If it has not completed by the deadline. `what` is what it waits for, for the message.
    pub async fn wait_for<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let done = timeout(self.deadline, future).await;
        done.unwrap_or_else(|_| panic!("waited {:?} in vain for {what}", self.deadline))
    }

    /// Checks that `future` does not complete within [`quiet`](Self::quiet).
    ///
    /// # Panics
    /// If it completes. `why` is the message: why it must not.
    pub async fn stays_pending<T>(&self, why: &str, future: impl Future<Output = T>) {
        assert!(timeout(self.quiet, pin!(future)).await.is_err(), "{why}");
    }
}
