use std::{future::Future, time::Duration};

/// How long a test waits for a state before it fails: far longer than anything takes that works.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The output of `future`; panics if it takes longer than [`TIMEOUT`].
pub async fn within_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("not within {TIMEOUT:?}: {what}"))
}

/// Waits until `holds`; panics if that takes longer than [`TIMEOUT`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    within_timeout(what, async {
        while !holds().await {
            looks.tick().await;
        }
    })
    .await;
}
