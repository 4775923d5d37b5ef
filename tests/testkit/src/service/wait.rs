use std::{future::Future, time::Duration};

/// How long a test waits for a state before it fails: far longer than anything that works takes.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the output of `future`. Panics if it takes longer than [`TIMEOUT`]; `what` is for the message.
pub async fn within_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("not within {TIMEOUT:?}: {what}"))
}

/// Waits until `holds` returns true. Panics if that takes longer than [`TIMEOUT`]; `what` is for the message.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut polls = tokio::time::interval(Duration::from_millis(2));
    within_timeout(what, async {
        while !holds().await {
            polls.tick().await;
        }
    })
    .await;
}
