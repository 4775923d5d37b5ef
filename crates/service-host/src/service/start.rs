//! Starts a service.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures::future::BoxFuture;
use saga_message::ServiceSpec;
use saga_runtime::{
    EngineMetrics, IdentityError, Outbox, Participant, Readiness, Runtime, RuntimeDeps, ShutdownStages, SystemIdentity,
};
use sea_orm::DbErr;
use service_http::{
    Audience, HttpMetrics, ListenerConfig, Routes,
    access::{AccessControl, ApiKeys, JwtTokens},
    serve,
};
use tokio::task::AbortHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, Span};

use super::{RunningService, ServiceContext, ServiceDeps};
use crate::{
    Listeners, Operations,
    admin::AdminState,
    metrics::{Gauges, Metrics},
    settings::{AccessSettings, BrowserSettings},
    startup::wait_for_database,
};

impl RunningService {
    /// Starts the service with the router that `routes` returns. When this returns, the service accepts requests on
    /// `listeners`.
    ///
    /// # Errors
    /// If the database cannot be read, or belongs to another system than the configured one; if the key set of an
    /// identity provider cannot be used; if a listener is not on loopback, and access is open without
    /// [`AccessSettings::allow_anonymous`]; or if the settings of the traces are wrong.
    pub async fn start<P: Participant>(
        participant: P,
        deps: ServiceDeps,
        listeners: impl Into<Listeners>,
        routes: impl FnOnce(ServiceContext<P>) -> axum::Router,
    ) -> anyhow::Result<Self> {
        let listeners = listeners.into();
        let configs = configs(&listeners, &deps.listening, &deps.browsers)?;
        let browsers = deps.browsers.policy(listeners.public.local_addr()?.ip());
        let service = participant.service();
        let traces = deps.traces.of_service(&service)?;
        let span = tracing::info_span!("service", service = service.name);
        let readiness = Readiness::new(["database", "broker", "queue"]);
        let stored = Stored::open(&deps, service, &listeners, &readiness).instrument(span.clone()).await?;
        let tokens = deps.access.jwt().map(JwtTokens::open).transpose()?;
        let is_closed = tokens.is_some() || !stored.keys.are_none();
        if !is_closed {
            refuse_anonymous_callers(service.name, &deps.access, &listeners)?;
        }
        let access = AccessControl::new(stored.keys, tokens, deps.admin);
        let ServiceDeps { database, broker, work: settings, listening, console_url, .. } = deps;
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
        let (outbox, stop) = (stored.outbox, ShutdownStages::default());
        let deps = RuntimeDeps {
            database: database.clone(),
            broker,
            outbox: Arc::clone(&outbox),
            identity: stored.identity,
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
        let ended = spawn_parts(&work, parts, &span);
        let (replica_bus, until) = (database.replica_bus(), stop.work.clone());
        work.spawn(
            async move { until.run_until_cancelled(replica_bus.run()).await.unwrap_or_default() }.instrument(span),
        );
        let servers = spawn_servers(&http, listeners, configs, &router, &http_metrics, &stop.intake);
        Ok(Self {
            name: service.name,
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
}

/// What a service reads from its database before it starts.
struct Stored {
    identity: Arc<SystemIdentity>,
    outbox: Arc<Outbox>,
    keys: ApiKeys,
}

impl Stored {
    /// Reads it. For as long as the database is away, and that may pass, it waits, and the listeners say so.
    async fn open(
        deps: &ServiceDeps,
        service: ServiceSpec,
        listeners: &Listeners,
        readiness: &Readiness,
    ) -> anyhow::Result<Self> {
        let database = &deps.database;
        let serving = (listeners, &deps.listening);
        let may_pass = |error: &DbErr| database.may_pass(error);
        let identity = wait_for_database(
            serving,
            || SystemIdentity::open(database, service, &deps.identity, readiness.clone()),
            |error| matches!(error, IdentityError::Database(error) if may_pass(error)),
        )
        .await?;
        let outbox = wait_for_database(serving, || Outbox::open(database, service), may_pass).await;
        let outbox = outbox.context("cannot read the outbox")?;
        let keys = wait_for_database(serving, || ApiKeys::open(database), may_pass).await;
        Ok(Self { identity, outbox, keys: keys.context("cannot read the API keys")? })
    }
}

/// Fails if callers without a key could reach a listener beyond loopback, unless the operator allows that.
fn refuse_anonymous_callers(name: &str, access: &AccessSettings, listeners: &Listeners) -> anyhow::Result<()> {
    for listener in std::iter::once(&listeners.public).chain(&listeners.operations) {
        let address = listener.local_addr()?;
        ensure!(
            access.allow_anonymous || address.ip().is_loopback(),
            "the {name} service would be open to everybody at {address}, because it has no API key: make one with \
             `order-system keys create`, or let everybody in with --allow-anonymous (ALLOW_ANONYMOUS=true)"
        );
    }
    Ok(())
}

/// Runs the parts of the engine. What is returned is cancelled when one of them ends, also by a panic.
fn spawn_parts(work: &TaskTracker, parts: [BoxFuture<'static, ()>; 4], span: &Span) -> CancellationToken {
    let ended = CancellationToken::new();
    for part in parts {
        let guard = ended.clone().drop_guard();
        let part = async move {
            part.await;
            drop(guard);
        };
        work.spawn(part.instrument(span.clone()));
    }
    ended
}

/// Serves on each listener.
fn spawn_servers(
    http: &TaskTracker,
    listeners: Listeners,
    configs: Vec<ListenerConfig>,
    router: &axum::Router,
    metrics: &HttpMetrics,
    stop: &CancellationToken,
) -> Vec<AbortHandle> {
    let all = std::iter::once(listeners.public).chain(listeners.operations);
    let servers = all.zip(configs).map(|(listener, config)| {
        let (router, metrics, stop) = (router.clone(), metrics.clone(), stop.clone());
        let server = async move {
            if let Err(error) = serve(listener, router, config, &metrics, stop).await {
                tracing::error!(%error, "the HTTP server ended");
            }
        };
        http.spawn(server).abort_handle()
    });
    servers.collect()
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
