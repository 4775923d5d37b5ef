//! Stops services gracefully.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::RunningService;

/// Time limit for writing the last responses, to requests that were waiting when the engine ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Time limit for exporting the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Reports for `delay` that `services` are not ready, while they serve as before. So load balancers send their requests
/// to other replicas before these refuse any.
pub async fn announce_stop(services: &[RunningService], delay: Duration) {
    if delay.is_zero() {
        return;
    }
    for service in services {
        service.readiness.set("shutdown", Err("it is about to stop".to_owned()));
    }
    tokio::time::sleep(delay).await;
}

/// Stops `services` gracefully. First, they accept no more requests; then everything that was accepted is finished and
/// published; then they close. The first two stages may each take up to `timeout`. What is not finished by then is
/// durable, and continues at the next start.
pub async fn stop(services: Vec<RunningService>, timeout: Duration) {
    for service in &services {
        service.stop.intake.cancel();
        service.http.close();
    }
    let requests = async {
        for service in &services {
            service.http.wait().await;
        }
    };
    if tokio::time::timeout(timeout, requests).await.is_err() {
        tracing::warn!("some requests were still open after {timeout:?}");
    }
    if tokio::time::timeout(timeout, published(&services)).await.is_err() {
        for service in services.iter().filter(|service| service.unpublished() > 0) {
            tracing::warn!(
                service = service.name,
                messages = service.unpublished(),
                "not everything is published; the rest follows at the next start"
            );
        }
    }
    let mut all_traces = Vec::new();
    for service in services {
        service.stop.work.cancel();
        service.work.close();
        service.work.wait().await;
        // Requests that still waited for the engine have been refused by now.
        if tokio::time::timeout(LAST_ANSWERS, service.http.wait()).await.is_err() {
            service.servers.iter().for_each(AbortHandle::abort);
        }
        service.database.close().await;
        all_traces.push(service.traces.finish(LAST_SPANS));
    }
    futures::future::join_all(all_traces).await;
}

/// Resolves when no service has anything left to publish. If a message is confirmed only after its consumer's commit,
/// publishing from one outbox can add to another, so all must be empty at the same time.
async fn published(services: &[RunningService]) {
    if services.iter().all(|service| !service.confirms_after_commit) {
        for service in services {
            service.outbox.flushed().await;
        }
        return;
    }
    let added = || services.iter().map(|service| service.outbox.added()).sum::<u64>();
    loop {
        let before = added();
        for service in services {
            service.outbox.empty().await;
        }
        // If nothing was added meanwhile, the outboxes that were empty still are.
        if added() == before {
            return;
        }
    }
}
