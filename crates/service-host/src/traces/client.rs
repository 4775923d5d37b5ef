use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use saga_support::LogLimit;
use tokio::runtime::Handle;

/// Sends spans to the collector, on the runtime in which it was created (the threads that export them have none), and
/// logs when that fails. Cheap to clone; all clones share the limit of the log lines.
#[derive(Debug, Clone)]
pub(super) struct CollectorClient {
    client: reqwest::Client,
    runtime: Handle,
    endpoint: Arc<str>,
    failures: Arc<LogLimit>,
}

/// How long a request may take. The SDK repeats one that failed, within its own limit.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a failure is logged.
const LOG_AT_MOST_EVERY: Duration = Duration::from_secs(60);

impl CollectorClient {
    /// Creates the client. `endpoint` is for the log.
    pub(super) fn new(endpoint: String) -> Result<Self> {
        // A proxy of the environment is for other requests than those to a collector nearby.
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        Ok(Self {
            client: client.context("cannot prepare the export of traces")?,
            runtime: Handle::current(),
            endpoint: endpoint.into(),
            failures: Arc::new(LogLimit::new(LOG_AT_MOST_EVERY)),
        })
    }

    fn failed(&self, error: &str) {
        let Some(not_logged_before) = self.failures.admit() else { return };
        tracing::warn!(
            error,
            endpoint = &*self.endpoint,
            not_logged_before,
            "spans cannot be exported and get lost, which affects nothing else; start the collector, or correct or remove \
             OTEL_EXPORTER_OTLP_ENDPOINT"
        );
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let response = self.runtime.spawn(async move { client.send_bytes(request).await }).await;
        let response = response.map_err(HttpError::from).and_then(|response| response);
        match &response {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.failed(&format!("the collector answered {}", response.status())),
            Err(error) => self.failed(&with_causes(&**error)),
        }
        response
    }
}

/// Returns the error with its causes: the first line of reqwest's errors tells nothing.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
