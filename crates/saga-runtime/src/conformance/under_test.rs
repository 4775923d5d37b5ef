//! What whoever wrote a broker gives to the suite.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use saga_message::ServiceSpec;

use super::{TestConsumer, TestPublisher, TimeLimits};
use crate::broker::Broker;

/// What a broker can do beyond what every broker must. By default, nothing of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The messages of one publisher come to a consumer in the order in which they were published, but for those that are
    /// delivered again. Otherwise they come in any order.
    pub keeps_order: bool,
    /// What is delivered again comes in its old place: before all that was published after it.
    pub keeps_order_of_redeliveries: bool,
    /// A message of which a consumer's queue is missing is [`Unroutable`](crate::broker::PublishResult::Unroutable), with the
    /// names of those consumers. Otherwise it is refused, or there is no outcome.
    pub reports_unroutable: bool,
    /// [`Delivery::redeliveries`](crate::broker::Delivery::redeliveries) is exact for a delivery that is dropped while its
    /// consumer goes on, and above 0 for what a lost consumer held. Otherwise the number says nothing.
    pub counts_redeliveries: bool,
    /// [`Delivery::message_id`](crate::broker::Delivery::message_id) is always there. Otherwise it may be missing, but is never
    /// another message's.
    pub keeps_message_ids: bool,
    /// A queue has one consumer, and a second one is [`AlreadyConsumed`](crate::broker::BrokerError::AlreadyConsumed). Otherwise consumers share it.
    pub single_consumer: bool,
    /// How many unacknowledged messages a queue of the broker under test holds, at least 4, before its publishers wait. `None`:
    /// more than a thousand.
    pub queue_capacity: Option<usize>,
    /// After how many redeliveries a message that is dropped once more goes to the dead letters. `None`: never, and
    /// [`Broker::dead_letters`] is `None`.
    pub dead_letters_after: Option<u32>,
}

/// A kind of broker that the suite can test.
#[async_trait]
pub trait BrokerUnderTest: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// How long the suite waits for it.
    fn limits(&self) -> TimeLimits {
        TimeLimits::default()
    }

    /// A new broker with the queues of these `services`, all empty and without a consumer, and no other queue: what a
    /// publisher does must not make the missing ones. It has a [`Broker`] for each of the `services`.
    async fn fresh(&self, services: &[ServiceSpec]) -> Brokers;

    /// The same broker with the queues of all [`SERVICES`](super::SERVICES). A broker that stores nothing may start anew: the
    /// suite has no publisher or consumer open then.
    async fn with_all_queues(&self, brokers: Brokers) -> Brokers;
}

/// One broker as each service sees it.
pub struct Brokers {
    services: HashMap<&'static str, Arc<dyn Broker>>,
    keep: Box<dyn Any + Send + Sync>,
}

impl Brokers {
    /// The [`Broker`] of each service, by its name. `keep` is dropped with the last of the test: a server, a temporary
    /// directory, or `()`.
    pub fn new<B: Broker + 'static>(
        services: impl IntoIterator<Item = (&'static str, B)>,
        keep: impl Any + Send + Sync,
    ) -> Self {
        let services = services.into_iter().map(|(name, broker)| (name, Arc::new(broker) as Arc<dyn Broker>));
        Self { services: services.collect(), keep: Box::new(keep) }
    }

    /// The broker as the service of this name sees it.
    ///
    /// # Panics
    /// If it was not given.
    #[must_use]
    pub fn of(&self, service: &str) -> &Arc<dyn Broker> {
        self.services.get(service).unwrap_or_else(|| panic!("the broker under test has no `Broker` for {service}"))
    }

    /// Takes back what [`Brokers::new`] was given to keep.
    ///
    /// # Panics
    /// If it was of another type.
    #[must_use]
    pub fn into_kept<T: 'static>(self) -> T {
        *self.keep.downcast().expect("`keep` is of the type that `Brokers::new` was given")
    }

    /// Opens a publisher for a service.
    pub(super) async fn publisher(&self, service: &str, limits: TimeLimits) -> TestPublisher {
        TestPublisher::open(&**self.of(service), limits).await
    }

    /// Consumes a service's queue.
    pub(super) async fn consumer(&self, service: &str, prefetch: usize, limits: TimeLimits) -> TestConsumer {
        TestConsumer::open(&**self.of(service), prefetch, limits).await
    }
}

impl fmt::Debug for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brokers").field("services", &self.services).finish_non_exhaustive()
    }
}
