use std::sync::Arc;

use async_trait::async_trait;
use shared_events::Service;
use tokio_util::task::TaskTracker;

use super::{
    connection::Connector,
    consumer,
    declare::ensure,
    message::{Reading, dead_letter, delivery},
    publisher,
    settings::{RabbitMqSettings, SettingsError},
    topology::{Topology, dead_letter_queue, queue},
    trouble::{explain, unusable},
};
use crate::broker::{Broker, BrokerError, Publication, Subscription};

/// One service's way to RabbitMQ. It connects only when it is used; cheap to clone.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    service: Service,
    connector: Arc<Connector>,
    sessions: TaskTracker,
}

impl RabbitMq {
    /// # Errors
    /// Where the settings cannot be used, or their files cannot be read.
    pub fn new(settings: &RabbitMqSettings) -> Result<Self, SettingsError> {
        let connector = Arc::new(Connector::new(settings)?);
        Ok(Self { service: settings.service, connector, sessions: TaskTracker::new() })
    }

    /// Resolves when every connection of this broker is closed in good order, the last acknowledgements sent. It begins to
    /// do so by itself once its publisher and its subscription are dropped and the receipts are settled: wait for it, under
    /// a timeout, before the process ends.
    pub async fn closed(&self) {
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Consumes `queue` on a connection of its own.
    async fn consume(
        &self,
        purpose: &str,
        topology: &Topology,
        queue: &str,
        prefetch: usize,
        read: Reading,
    ) -> Result<Subscription, BrokerError> {
        self.connector
            .in_time(async {
                let connection = self.connector.connect(purpose).await.map_err(failed)?;
                ensure(&connection, topology).await?;
                let tag = self.connector.name(purpose);
                consumer::start(connection, queue, &tag, prefetch, read, &self.sessions).await.map_err(failed)
            })
            .await
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        let topology = Topology::to_publish(self.service);
        self.connector
            .in_time(async {
                let connection = self.connector.connect("publish").await.map_err(failed)?;
                ensure(&connection, &topology).await?;
                publisher::start(connection, &self.sessions).await.map_err(failed)
            })
            .await
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let topology = Topology::to_consume(self.service);
        self.consume("consume", &topology, queue(self.service), prefetch, delivery).await
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        let topology = Topology::of_dead_letters(self.service);
        let queue = dead_letter_queue(self.service);
        self.consume("dead-letters", &topology, &queue, prefetch, dead_letter).await.map(Some)
    }

    /// A confirm means that the queues have the message on their disks.
    fn confirms_after_commit(&self) -> bool {
        false
    }
}

fn failed(error: lapin::Error) -> BrokerError {
    unusable(explain(&error))
}
