//! Waiting for a state, with a timeout.

use std::{future::Future, pin::pin, time::Duration};

pub(crate) use testkit::service::{TIMEOUT, until, within_timeout};
use tokio::time::timeout;

/// Long enough to see most of what must not happen. A test may miss a fault, but never reports a false one.
pub(crate) const A_WHILE: Duration = Duration::from_millis(100);

/// Asserts that `future` does not end within [`A_WHILE`].
pub(crate) async fn stays_pending<T>(what: &str, future: impl Future<Output = T>) {
    assert!(timeout(A_WHILE, pin!(future)).await.is_err(), "{what}");
}
