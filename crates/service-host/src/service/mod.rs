//! Runs a service: engine, relay, consumer and HTTP server, and their graceful shutdown.

mod start;
mod stop;

use std::sync::Arc;

use reqwest::Url;
use saga_database::Database;
use saga_runtime::{IdentitySettings, Mailbox, Outbox, Participant, Readiness, ShutdownStages, broker::Broker};
use service_http::ListenerConfig;
use tokio::task::AbortHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    Operations,
    admin::AdminToken,
    settings::{AccessSettings, BrowserSettings, WorkSettings},
    traces::{ServiceTraces, Traces},
};

pub use stop::{announce_stop, stop};

/// What a service is built from.
#[derive(Debug, Clone)]
pub struct ServiceDeps {
    /// Its own database, with all migrations applied.
    pub database: Database,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Settings for batches, queues and timeouts.
    pub work: WorkSettings,
    /// Who may use it without an API key.
    pub access: AccessSettings,
    /// The token with which everything is allowed. `None` turns the admin endpoints off, unless there is an API key for
    /// them.
    pub admin: Option<AdminToken>,
    /// The system that it belongs to, if that is configured.
    pub identity: IdentitySettings,
    /// Where its spans go.
    pub traces: Traces,
    /// What clients may occupy, and the certificate of the listener.
    pub listening: ListenerConfig,
    /// Which requests of browsers are accepted.
    pub browsers: BrowserSettings,
    /// The address of the console, to which `GET /` leads.
    pub console_url: Option<Url>,
}

/// The dependencies of a service's routes.
#[derive(Debug)]
pub struct ServiceContext<P: Participant> {
    /// Sends commands to the engine.
    pub mailbox: Mailbox<P>,
    /// Used for reading.
    pub database: Database,
    /// The outbox, which knows the number of unpublished messages.
    pub outbox: Arc<Outbox>,
    /// The endpoints for operators.
    pub operations: Operations,
    /// Cancelled when the service begins to stop, so that handlers can stop waiting.
    pub stopping: CancellationToken,
    /// Background tasks that run until the service stops.
    background: TaskTracker,
}

impl<P: Participant> ServiceContext<P> {
    /// Runs `task` in the background until the service begins to stop.
    pub fn spawn_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.background
            .spawn(async move { stopping.run_until_cancelled(task).await.unwrap_or_default() }.in_current_span());
    }
}

/// A running service.
#[derive(Debug)]
pub struct RunningService {
    name: &'static str,
    readiness: Readiness,
    stop: ShutdownStages,
    http: TaskTracker,
    servers: Vec<AbortHandle>,
    work: TaskTracker,
    /// Cancelled when a part of the service ends, regularly or because of a bug.
    ended: CancellationToken,
    outbox: Arc<Outbox>,
    confirms_after_commit: bool,
    database: Database,
    is_closed: bool,
    traces: ServiceTraces,
}

impl RunningService {
    /// Resolves when a part of the service has ended. If that happens before the service is stopped, it is a bug, and
    /// the service is no longer working.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Resolves when it is known, and logged, of each dependency whether it is up.
    pub async fn dependencies_known(&self) {
        self.readiness.each_reported().await;
    }

    /// Returns the name of the service.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whether requests needed an API key when the service started.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        self.is_closed
    }

    /// Returns the number of messages that are committed and not yet confirmed by the broker.
    #[must_use]
    pub fn unpublished(&self) -> u64 {
        self.outbox.depth()
    }
}
