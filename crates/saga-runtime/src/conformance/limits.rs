//! Waiting for a state, with a deadline.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::timeout;

/// How long the suite waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// A state that has not come by then is not coming: far longer than anything takes that works. 30 s by default.
    pub deadline: Duration,
    /// How long nothing has to happen where nothing may happen. 100 ms by default.
    pub quiet: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), quiet: Duration::from_millis(100) }
    }
}

impl TimeLimits {
    /// Waits for `future`.
    ///
    /// # Panics
    /// If it has not completed by the deadline; `what` says what was waited for.
    pub async fn wait_for<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let done = timeout(self.deadline, future).await;
        done.unwrap_or_else(|_| panic!("waited {:?} in vain for {what}", self.deadline))
    }

    /// Watches that `future` does not complete for a while.
    ///
    /// # Panics
    /// If it completes; `why` says why it must not.
    pub async fn stays_pending<T>(&self, why: &str, future: impl Future<Output = T>) {
        assert!(timeout(self.quiet, pin!(future)).await.is_err(), "{why}");
    }
}
