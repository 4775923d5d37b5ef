//! Retries the steps of a start that need the database, for as long as the database is unavailable.

use std::time::Duration;

use anyhow::{Result, anyhow};
use saga_runtime::Readiness;
use saga_support::{Backoff, millis};
use service_http::ListenerConfig;

use crate::Listeners;

/// Tries `attempt` until it succeeds, with growing pauses, for as long as its error `may_pass`. Meanwhile, requests to
/// `listeners` are answered, as `config` says: the service is alive and not ready.
///
/// # Errors
/// The first permanent error.
pub async fn wait_for_database<T, E, Work>(
    (listeners, config): (&Listeners, &ListenerConfig),
    attempt: impl Fn() -> Work,
    may_pass: impl Fn(&E) -> bool,
) -> Result<T>
where
    E: Into<anyhow::Error>,
    Work: Future<Output = Result<T, E>>,
{
    let mut error = match attempt().await {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    let readiness = Readiness::new(["database", "broker", "queue"]);
    let servers = listeners.open_startup(&readiness, config)?;
    let mut backoff = Backoff::growing(Duration::from_millis(250), Duration::from_secs(5));
    while may_pass(&error) {
        readiness.set("database", Err("it cannot be used yet; the log says why".to_owned()));
        let pause = backoff.next_pause();
        tracing::warn!(
            error = format!("{:#}", anyhow!(error)),
            pause_ms = millis(pause),
            "waiting for the database; trying again after a pause"
        );
        tokio::time::sleep(pause).await;
        error = match attempt().await {
            Ok(done) => {
                for server in servers {
                    server.close().await;
                }
                return Ok(done);
            }
            Err(error) => error,
        };
    }
    Err(error.into())
}
