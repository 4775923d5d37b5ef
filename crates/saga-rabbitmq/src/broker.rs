use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use saga_message::ServiceSpec;
use tokio_util::task::TaskTracker;

use super::{
    connection::Connector,
    consumer::{self, Source},
    declare::{ConsumersDeclared, declare_consumers},
    failure::{BrokerFailure, Phase},
    message::{Reading, dead_letter, delivery},
    publisher,
    settings::{RabbitMqSettings, SettingsError},
    topology::{Topology, dead_letter_queue, queue},
    watch::QueueWatch,
};
use saga_runtime::broker::{Broker, BrokerError, Publication, QueueStats, Subscription};

/// How long the broker may take to confirm a message while it takes messages at all. RabbitMQ has lost track of
/// confirms before (<https://github.com/rabbitmq/rabbitmq-server/issues/6115>), and a message that waits for one is not
/// published again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// One service's way to RabbitMQ. It connects only when it is used; cheap to clone.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    service: ServiceSpec,
    connector: Arc<Connector>,
    sessions: TaskTracker,
    watch: QueueWatch,
    confirm_timeout: Duration,
}

impl RabbitMq {
    /// # Errors
    /// If the settings cannot be used, or their files cannot be read.
    pub fn new(settings: &RabbitMqSettings) -> Result<Self, SettingsError> {
        let connector = Arc::new(Connector::new(settings)?);
        Ok(Self {
            service: settings.service,
            connector,
            sessions: TaskTracker::new(),
            watch: QueueWatch::default(),
            confirm_timeout: CONFIRM_TIMEOUT,
        })
    }

    /// With another time for the broker to confirm a message than a minute. Past it, the publisher's connection is
    /// given up.
    #[must_use]
    pub fn with_confirm_timeout(self, confirm_timeout: Duration) -> Self {
        Self { confirm_timeout, ..self }
    }

    /// Resolves when every connection of this broker is closed in good order, the last acknowledgements sent. It begins to
    /// do so by itself once its publisher and its subscription are dropped and the receipts are settled: wait for it, under
    /// a timeout, before the process ends.
    pub async fn closed(&self) {
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Waits until every connection is closed, at most for `patience`: the end of a program.
    pub async fn close(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.closed()).await.is_err() {
            tracing::warn!("the connections to RabbitMQ did not close in time");
        }
    }

    /// Consumes `queue` on a connection of its own.
    async fn consume(
        &self,
        purpose: &str,
        topology: &Topology,
        queue: &str,
        prefetch: usize,
        (read, watch): (Reading, Option<&QueueWatch>),
    ) -> Result<Subscription, BrokerError> {
        self.connector
            .with_timeout(|| async {
                let connection = self.connector.open(purpose, topology).await?;
                let source = Source { queue, topology, tag: &self.connector.name(purpose), read, watch };
                let started =
                    consumer::start(connection, self.connector.address(), source, prefetch, &self.sessions).await;
                started.map_err(|error| BrokerFailure::of(&error, Phase::Preparing))
            })
            .await
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        let topology = Topology::to_publish(&self.service);
        let consumers = Topology::of_consumers(&self.service);
        self.connector
            .with_timeout(|| async {
                let connection = self.connector.open("publish", &topology).await?;
                let declared = declare_consumers(&connection, &consumers).await?;
                if let ConsumersDeclared::No(reason) = &declared {
                    tracing::warn!(reason, "the consumers' queues cannot be declared; publishing goes on");
                }
                let may_declare = !matches!(declared, ConsumersDeclared::NotAllowed);
                let settings = publisher::Settings {
                    address: self.connector.address(),
                    consumers: may_declare.then(|| consumers.clone()),
                    confirm_timeout: self.confirm_timeout,
                };
                let started = publisher::start(connection, settings, &self.sessions).await;
                started.map_err(|error| BrokerFailure::of(&error, Phase::Preparing))
            })
            .await
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let topology = Topology::to_consume(&self.service);
        self.consume("consume", &topology, queue(self.service.name), prefetch, (delivery, Some(&self.watch))).await
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        let topology = Topology::of_dead_letters(self.service.name);
        let queue = dead_letter_queue(self.service.name);
        self.consume("dead-letters", &topology, &queue, prefetch, (dead_letter, None)).await.map(Some)
    }

    fn queue(&self) -> Option<QueueStats> {
        self.watch.last()
    }

    /// A confirm means that the queues have the message on their disks.
    fn confirms_after_commit(&self) -> bool {
        false
    }
}
