use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use saga_message::{Route, ServiceSpec};
use tokio_util::task::TaskTracker;

use super::{
    connection::Connector,
    consumer::{self, Source},
    declare::{ConsumersDeclared, declare_consumers},
    failure::{BrokerFailure, Phase},
    message::{Reading, dead_letter, delivery},
    publisher,
    settings::{RabbitMqSettings, SettingsError, address},
    topology::{Topology, dead_letter_queue, events_exchange, queue},
    watch::QueueWatch,
};
use saga_runtime::broker::{Broker, BrokerError, Publication, QueueStats, Subscription};

/// How long the broker may take to confirm a message. The time during which it has blocked the connection does not
/// count. RabbitMQ has lost confirms in the past (<https://github.com/rabbitmq/rabbitmq-server/issues/6115>), and the
/// relay does not publish a message again while it waits for its confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// One service's access to RabbitMQ. It connects on first use and is cheap to clone.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    service: ServiceSpec,
    connector: Arc<Connector>,
    sessions: TaskTracker,
    watch: QueueWatch,
    confirm_timeout: Duration,
}

impl RabbitMq {
    /// Creates a broker from its settings, without connecting.
    ///
    /// # Errors
    /// If the settings are invalid, or a file that they name cannot be read.
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

    /// Sets how long the broker may take to confirm a message (default: one minute). When the time is over, the
    /// publisher's connection is closed.
    #[must_use]
    pub fn with_confirm_timeout(self, confirm_timeout: Duration) -> Self {
        Self { confirm_timeout, ..self }
    }

    /// Resolves when every connection is closed in an orderly way and the last acknowledgements are sent. The
    /// connections close by themselves once the publisher and the subscription are dropped and all receipts are
    /// settled. Await this, with a timeout, before the process ends.
    pub async fn closed(&self) {
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Waits until every connection is closed, for at most `timeout`. Call it at the end of a program.
    pub async fn close(&self, timeout: Duration) {
        if tokio::time::timeout(timeout, self.closed()).await.is_err() {
            tracing::warn!("the connections to RabbitMQ did not close in time");
        }
    }

    /// Consumes `queue` on a separate connection.
    async fn consume(
        &self,
        purpose: &str,
        topology: &Topology,
        queue: &str,
        prefetch: usize,
        (read, watch): (Reading, Option<&QueueWatch>),
    ) -> Result<Subscription, BrokerError> {
        self.connector
            .on_some_node(|node| async move {
                let connection = self.connector.open(node, purpose, topology).await?;
                let source = Source { queue, topology, tag: &self.connector.name(purpose), read, watch };
                let started = consumer::start(connection, address(node), source, prefetch, &self.sessions).await;
                started.map_err(|error| BrokerFailure::of(&error, Phase::Preparing))
            })
            .await
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        let topology = &Topology::to_publish(&self.service);
        let consumers = &Topology::of_consumers(&self.service);
        self.connector
            .on_some_node(|node| async move {
                let connection = self.connector.open(node, "publish", topology).await?;
                let declared = declare_consumers(&connection, consumers).await?;
                if let ConsumersDeclared::No(reason) = &declared {
                    tracing::warn!(reason, "the consumers' queues cannot be declared; publishing goes on");
                }
                let may_declare = !matches!(declared, ConsumersDeclared::NotAllowed);
                let settings = publisher::Settings {
                    address: address(node),
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

    fn messaging_system(&self) -> &'static str {
        "rabbitmq"
    }

    fn destination(&self, route: &Route) -> String {
        format!("{}:{}", events_exchange(route.publisher), route.routing_key)
    }

    /// With quorum queues, a confirm means that the message is already on disk.
    fn confirms_after_commit(&self) -> bool {
        false
    }
}
