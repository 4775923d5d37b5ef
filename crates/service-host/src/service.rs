//! Runs a service: engine, relay, consumer and HTTP server, and their graceful shutdown.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::Url;
use sea_orm::DbErr;
use tokio::task::AbortHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    Listeners, Operations,
    admin::{AdminState, AdminToken},
    metrics::{Gauges, Metrics},
    settings::{AccessSettings, BrowserSettings, WorkSettings},
    startup::wait_for_database,
    traces::{ServiceTraces, Traces},
};
use saga_database::Database;
use saga_runtime::{
    EngineMetrics, IdentityError, IdentitySettings, Mailbox, Outbox, Participant, Readiness, Runtime, RuntimeDeps,
    ShutdownStages, SystemIdentity, broker::Broker,
};
use service_http::{
    Audience, ListenerConfig, Routes,
    access::{AccessControl, ApiKeys},
    serve,
};

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
    /// Starts the service with the router that `routes` returns. When this returns, the service accepts requests on
    /// `listeners`.
    ///
    /// # Errors
    /// If the database cannot be read, or belongs to another system than the configured one; if a listener is not on
    /// loopback, and access is open without [`AccessSettings::allow_anonymous`]; or if the settings of the traces are
    /// wrong.
    pub async fn start<P: Participant>(
        participant: P,
        deps: ServiceDeps,
        listeners: impl Into<Listeners>,
        routes: impl FnOnce(ServiceContext<P>) -> axum::Router,
    ) -> anyhow::Result<Self> {
        let ServiceDeps {
            database,
            broker,
            work: settings,
            access,
            admin,
            identity,
            traces,
            listening,
            browsers,
            console_url,
        } = deps;
        let listeners = listeners.into();
        let configs = configs(&listeners, &listening, &browsers)?;
        let browsers = browsers.policy(listeners.public.local_addr()?.ip());
        let service = participant.service();
        let traces = traces.of_service(&service)?;
        let name = service.name;
        let span = tracing::info_span!("service", service = name);
        let stop = ShutdownStages::default();
        let readiness = Readiness::new(["database", "broker", "queue"]);
        let may_pass = |error: &DbErr| database.may_pass(error);
        let identity = wait_for_database(
            (&listeners, &listening),
            || SystemIdentity::open(&database, service, &identity, readiness.clone()),
            |error| matches!(error, IdentityError::Database(error) if may_pass(error)),
        );
        let identity = identity.instrument(span.clone()).await?;
        let outbox = wait_for_database((&listeners, &listening), || Outbox::open(&database, service), may_pass);
        let outbox = outbox.instrument(span.clone()).await.context("cannot read the outbox")?;
        let keys = wait_for_database((&listeners, &listening), || ApiKeys::open(&database), may_pass);
        let keys = keys.instrument(span.clone()).await.context("cannot read the API keys")?;
        let is_closed = !keys.are_none();
        for listener in std::iter::once(&listeners.public).chain(&listeners.operations) {
            let address = listener.local_addr()?;
            ensure!(
                is_closed || access.allow_anonymous || address.ip().is_loopback(),
                "the {name} service would be open to everybody at {address}, because it has no API key: make one with \
                 `order-system keys create`, or let everybody in with --allow-anonymous (ALLOW_ANONYMOUS=true)"
            );
        }
        let access = AccessControl::new(keys, admin);
        let engine_metrics = EngineMetrics::default();
        let gauges = Gauges::new(database.clone(), Arc::clone(&broker), readiness.clone());
        let metrics = Metrics::new(service, &engine_metrics, gauges, |registry| {
            access.register(registry);
            if let Some(tls) = &listening.tls {
                tls.register_metrics(registry);
            }
            participant.register_metrics(registry);
        });
        let http_metrics = metrics.http();
        let confirms_after_commit = broker.confirms_after_commit();
        let deps = RuntimeDeps {
            database: database.clone(),
            broker,
            outbox: Arc::clone(&outbox),
            identity,
            readiness: readiness.clone(),
            metrics: engine_metrics,
            tracing: traces.tracing(),
            stop: stop.clone(),
        };
        let Runtime { mailbox, parts } = Runtime::new(participant, deps, settings.engine(), settings.prefetch);
        let admin_state = AdminState {
            database: database.clone(),
            messages: Arc::new(mailbox.clone()),
            stopping: stop.intake.clone(),
        };
        let (http, work) = (TaskTracker::new(), TaskTracker::new());
        let router = span.in_scope(|| {
            routes(ServiceContext {
                mailbox,
                database: database.clone(),
                outbox: Arc::clone(&outbox),
                operations: Operations {
                    readiness: readiness.clone(),
                    admin: Some(admin_state),
                    metrics: Some(Arc::new(metrics)),
                    tracing: traces.tracing(),
                    browsers,
                    access,
                    console_url,
                },
                stopping: stop.intake.clone(),
                background: work.clone(),
            })
        });
        let ended = CancellationToken::new();
        // Each part owns a guard, so that a panic is noticed too.
        for part in parts {
            let guard = ended.clone().drop_guard();
            work.spawn(
                async move {
                    part.await;
                    drop(guard);
                }
                .instrument(span.clone()),
            );
        }
        let (replica_bus, until) = (database.replica_bus(), stop.work.clone());
        work.spawn(
            async move { until.run_until_cancelled(replica_bus.run()).await.unwrap_or_default() }.instrument(span),
        );
        let all = std::iter::once(listeners.public).chain(listeners.operations);
        let servers = all.zip(configs).map(|(listener, config)| {
            let (router, metrics, intake) = (router.clone(), http_metrics.clone(), stop.intake.clone());
            let server = async move {
                if let Err(error) = serve(listener, router, config, &metrics, intake).await {
                    tracing::error!(%error, "the HTTP server ended");
                }
            };
            http.spawn(server).abort_handle()
        });
        let servers = servers.collect();
        Ok(Self {
            name,
            readiness,
            stop,
            http,
            servers,
            work,
            ended,
            outbox,
            confirms_after_commit,
            database,
            is_closed,
            traces,
        })
    }

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

/// Returns how the public listener and, if there is one, that of the operators serve.
fn configs(
    listeners: &Listeners,
    listening: &ListenerConfig,
    browsers: &BrowserSettings,
) -> anyhow::Result<Vec<ListenerConfig>> {
    let Some(operations) = &listeners.operations else { return Ok(vec![listening.clone()]) };
    let operations = browsers.policy(operations.local_addr()?.ip());
    let config = |audience| ListenerConfig { audience, ..listening.clone() };
    Ok(vec![
        config(Audience { routes: Routes::Public, browsers: None }),
        config(Audience { routes: Routes::Operations, browsers: Some(operations) }),
    ])
}

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
