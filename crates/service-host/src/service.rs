//! A service, put together and running: engine, relay, consumer and HTTP server, and their orderly end.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt as _, future::BoxFuture};
use sea_orm::DbErr;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    Operations,
    admin::{AdminState, AdminToken, RefusedRequests},
    metrics::Gauges,
    metrics::Metrics,
    settings::WorkSettings,
    startup::wait_for_database,
};
use saga_database::Database;
use saga_runtime::{
    Engine, EngineMetrics, IdentityError, IdentitySettings, Mailbox, Outbox, Participant, Readiness, Relay, Source,
    Stages, SystemIdentity, broker::Broker, consume,
};
use service_http::serve;

/// What a service is built from.
#[derive(Debug, Clone)]
pub struct ServiceDeps {
    /// Its own database, its tables up to date.
    pub database: Database,
    /// Its connection to the broker.
    pub broker: Arc<dyn Broker>,
    /// How it works.
    pub work: WorkSettings,
    /// Who may use its admin endpoints. `None`: they are off.
    pub admin: Option<AdminToken>,
    /// Which system it belongs to, where that has to be said.
    pub identity: IdentitySettings,
}

/// What a service's routes need.
#[derive(Debug)]
pub struct ServiceContext<P: Participant> {
    /// For commands.
    pub mailbox: Mailbox<P>,
    /// For reading.
    pub database: Database,
    /// How much is unpublished.
    pub outbox: Arc<Outbox>,
    /// What the service offers to those who operate it.
    pub operations: Operations,
    /// Cancelled when the service begins to stop: whoever waits for something may stop waiting.
    pub stopping: CancellationToken,
    /// What runs beside the service until it stops.
    beside: TaskTracker,
}

impl<P: Participant> ServiceContext<P> {
    /// Runs `task` beside the service until it begins to stop.
    pub fn run_beside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.beside
            .spawn(async move { stopping.run_until_cancelled(task).await.unwrap_or_default() }.in_current_span());
    }
}

/// A running service.
#[derive(Debug)]
pub struct RunningService {
    name: &'static str,
    stop: Stages,
    http: TaskTracker,
    server: AbortHandle,
    work: TaskTracker,
    /// Cancelled when a part of the service ends, in good order or by a bug.
    ended: CancellationToken,
    outbox: Arc<Outbox>,
    confirms_after_commit: bool,
    database: Database,
}

impl RunningService {
    /// Starts the service: it answers on `listener` with what `routes` makes, from the moment that this returns.
    ///
    /// # Errors
    /// If the database cannot be read, or belongs to another system than the settings say.
    pub async fn start<P: Participant>(
        participant: P,
        deps: ServiceDeps,
        listener: TcpListener,
        routes: impl FnOnce(ServiceContext<P>) -> axum::Router,
    ) -> anyhow::Result<Self> {
        let ServiceDeps { database, broker, work: settings, admin, identity } = deps;
        let service = participant.service();
        let name = service.name;
        let span = tracing::info_span!("service", service = name);
        let stop = Stages::default();
        let readiness = Readiness::new(["database", "broker", "queue"]);
        let may_pass = |error: &DbErr| database.may_pass(error);
        let identity = wait_for_database(
            &listener,
            || SystemIdentity::open(&database, service, &identity, readiness.clone()),
            |error| matches!(error, IdentityError::Database(error) if may_pass(error)),
        );
        let identity = identity.instrument(span.clone()).await?;
        let outbox = wait_for_database(&listener, || Outbox::open(&database, service), may_pass);
        let outbox = outbox.instrument(span.clone()).await.context("cannot read the outbox")?;
        let engine_metrics = EngineMetrics::default();
        let gauges = Gauges::new(database.clone(), Arc::clone(&broker), readiness.clone());
        let refused = Arc::new(RefusedRequests::default());
        let metrics = Metrics::new(service, &engine_metrics, gauges, |registry| {
            let help = "Requests to the admin endpoints that had no valid token";
            registry.register("admin_refused", help, refused.counter.clone());
            participant.measure(registry);
        });
        let (engine, mailbox) = Engine::new(
            participant,
            database.clone(),
            Arc::clone(&outbox),
            readiness.clone(),
            identity,
            settings.engine(),
            stop.clone(),
        );
        let engine = engine.measured(engine_metrics);
        let relay = Relay::new(
            database.clone(),
            Arc::clone(&broker),
            Arc::clone(&outbox),
            mailbox.clone(),
            readiness.clone(),
            stop.clone(),
        );
        // Where the broker confirms after the commit, the outboxes empty only while everybody goes on consuming.
        let confirms_after_commit = broker.confirms_after_commit();
        let consume_until = if confirms_after_commit { stop.work.clone() } else { stop.intake.clone() };
        let dead_letters = consume(Arc::clone(&broker), mailbox.clone(), Source::DeadLetters, stop.intake.clone());
        let queue = Source::Queue { prefetch: settings.prefetch, readiness: readiness.clone() };
        let consumer = consume(broker, mailbox.clone(), queue, consume_until);
        let app = AdminState {
            database: database.clone(),
            messages: Arc::new(mailbox.clone()),
            token: admin,
            stopping: stop.intake.clone(),
            refused,
        };
        let (http, work) = (TaskTracker::new(), TaskTracker::new());
        let router = span.in_scope(|| {
            routes(ServiceContext {
                mailbox,
                database: database.clone(),
                outbox: Arc::clone(&outbox),
                operations: Operations { readiness, admin: Some(app), metrics: Some(Arc::new(metrics)) },
                stopping: stop.intake.clone(),
                beside: work.clone(),
            })
        });
        let ended = CancellationToken::new();
        // A guard goes with each part, so that also a panic is noticed.
        let parts: [BoxFuture<'static, ()>; 4] =
            [engine.run().boxed(), relay.run().boxed(), consumer.boxed(), dead_letters.boxed()];
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
        let intake = stop.intake.clone();
        let server = http.spawn(async move {
            if let Err(error) = serve(listener, router, intake).await {
                tracing::error!(%error, "the HTTP server ended");
            }
        });
        Ok(Self {
            name,
            stop,
            http,
            server: server.abort_handle(),
            work,
            ended,
            outbox,
            confirms_after_commit,
            database,
        })
    }

    /// Resolves when a part of it has ended. Before it is told to stop, that is a bug, and the service does no more work.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How much is committed and not yet confirmed by the broker.
    #[must_use]
    pub fn unpublished(&self) -> u64 {
        self.outbox.depth()
    }
}

/// How long the answers of those who were waiting for the engine's end may take to be written.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Stops `services` in good order: no new requests; then everything that was taken is finished and published; then close.
/// Each of the first two stages may take `patience`; what is not finished by then is durable, and is caught up at the
/// next start.
pub async fn stop(services: Vec<RunningService>, patience: Duration) {
    for service in &services {
        service.stop.intake.cancel();
        service.http.close();
    }
    let requests = async {
        for service in &services {
            service.http.wait().await;
        }
    };
    if tokio::time::timeout(patience, requests).await.is_err() {
        tracing::warn!("some requests were still open after {patience:?}");
    }
    if tokio::time::timeout(patience, published(&services)).await.is_err() {
        for service in services.iter().filter(|service| service.unpublished() > 0) {
            tracing::warn!(
                service = service.name,
                events = service.unpublished(),
                "not everything is published; the rest follows at the next start"
            );
        }
    }
    for service in services {
        service.stop.work.cancel();
        service.work.close();
        service.work.wait().await;
        // Whoever still waited for the engine has been told by now that it stops.
        if tokio::time::timeout(LAST_ANSWERS, service.http.wait()).await.is_err() {
            service.server.abort();
        }
        service.database.close().await;
    }
}

/// Resolves when no service has anything left to publish. Where a message is confirmed only after its consumer's commit,
/// publishing to one may give another something to publish, so all must be empty at once.
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
        // An outbox that was empty stays so as long as nothing is added.
        if added() == before {
            return;
        }
    }
}
