//! The parts of a service's runtime, connected to each other.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use saga_database::Database;

use crate::{
    broker::Broker,
    consumer::{Source, consume},
    engine::{Engine, EngineSettings, Mailbox, Participant},
    identity::SystemIdentity,
    metrics::EngineMetrics,
    readiness::Readiness,
    relay::{Outbox, Relay},
    shutdown::ShutdownStages,
    trace::{MessageSpans, Tracing},
};

/// What a [`Runtime`] works with.
#[derive(Debug)]
pub struct RuntimeDeps {
    /// The service's own database, with its migrations applied.
    pub database: Database,
    /// The service's connection to the broker.
    pub broker: Arc<dyn Broker>,
    /// The outbox of `database`: [`Outbox::open`].
    pub outbox: Arc<Outbox>,
    /// The system that `database` belongs to: [`SystemIdentity::open`].
    pub identity: Arc<SystemIdentity>,
    /// Receives the state of the dependencies `database`, `broker` and `queue`.
    pub readiness: Readiness,
    /// Records what the engine does.
    pub metrics: EngineMetrics,
    /// Starts the spans of events and messages.
    pub tracing: Tracing,
    /// Ends the runtime in two stages.
    pub stop: ShutdownStages,
}

/// A participant with everything that it needs: the engine, the relay, and the consumers of its queue and of the
/// broker's dead letters.
pub struct Runtime<P: Participant> {
    /// The way to send commands to the participant.
    pub mailbox: Mailbox<P>,
    /// The parts that do the work. Spawn each of them; they end after [`ShutdownStages::work`] is cancelled. One that
    /// ends earlier has panicked.
    pub parts: [BoxFuture<'static, ()>; 4],
}

impl<P: Participant> Runtime<P> {
    /// Builds the runtime of `participant`. `prefetch` is the maximum number of unacknowledged deliveries.
    #[must_use]
    pub fn new(participant: P, deps: RuntimeDeps, settings: EngineSettings, prefetch: usize) -> Self {
        let RuntimeDeps { database, broker, outbox, identity, readiness, metrics, tracing, stop } = deps;
        let spans = MessageSpans::new(tracing, &*broker, &participant.service());
        let (engine, mailbox) = Engine::new(
            participant,
            database.clone(),
            Arc::clone(&outbox),
            readiness.clone(),
            identity,
            settings,
            stop.clone(),
        );
        let relay = Relay::new(database, Arc::clone(&broker), outbox, mailbox.clone(), readiness.clone(), stop.clone())
            .with_spans(spans.clone());
        // If the broker confirms a message only after its consumer's commit, an outbox becomes empty only as long as
        // all services go on consuming.
        let consume_until = if broker.confirms_after_commit() { stop.work } else { stop.intake.clone() };
        let dead_letters = consume(Arc::clone(&broker), mailbox.clone(), Source::DeadLetters, stop.intake);
        let consumer = consume(broker, mailbox.clone(), Source::Queue { prefetch, readiness }, consume_until);
        let engine = engine.with_metrics(metrics).with_spans(spans).run();
        Self { mailbox, parts: [engine.boxed(), relay.run().boxed(), consumer.boxed(), dead_letters.boxed()] }
    }
}
