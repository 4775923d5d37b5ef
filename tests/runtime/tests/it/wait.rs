//! Waiting for a state, with an end.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Far longer than anything takes that works.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Long enough for what must not happen to happen, mostly. It can make a test miss a fault, never see one that is none.
pub(crate) const A_WHILE: Duration = Duration::from_millis(100);

/// What `future` gives, unless it takes for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = interval(Duration::from_millis(2));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    soon(what, async {
        while !holds().await {
            looks.tick().await;
        }
    })
    .await;
}

/// That `future` does not end for a while.
pub(crate) async fn stays_pending<T>(what: &str, future: impl Future<Output = T>) {
    assert!(timeout(A_WHILE, pin!(future)).await.is_err(), "{what}");
}
