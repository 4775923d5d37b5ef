//! What the author of a broker provides to the suite.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use saga_message::ServiceSpec;

use super::{TestConsumer, TestPublisher, TimeLimits};
use crate::broker::Broker;

/// What a broker can do beyond what every broker must. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The messages of one publisher reach a consumer in the order of publishing, except for redelivered ones.
    /// Otherwise they arrive in any order.
    pub keeps_order: bool,
    /// A redelivered message keeps its place: it arrives before all messages that were published after it.
    pub keeps_order_of_redeliveries: bool,
    /// A message that lacks a consumer's queue is [`Unroutable`](crate::broker::PublishResult::Unroutable),
    /// with the names of those consumers. Otherwise it is refused, or there is no outcome.
    pub reports_unroutable: bool,
    /// [`Delivery::redeliveries`](crate::broker::Delivery::redeliveries) is exact for a delivery that is dropped while
    /// its consumer stays, and above 0 for what a lost consumer held. Otherwise the number means nothing.
    pub counts_redeliveries: bool,
    /// [`Delivery::message_id`](crate::broker::Delivery::message_id) is always there. Otherwise it may be missing, but
    /// is never another message's.
    pub keeps_message_ids: bool,
    /// A queue has one consumer, and a second one is [`AlreadyConsumed`](crate::broker::BrokerError::AlreadyConsumed).
    /// Otherwise consumers share it.
    pub single_consumer: bool,
    /// How many unacknowledged messages a queue of the broker under test holds before its publishers wait; at least 4.
    /// `None` means more than a thousand.
    pub queue_capacity: Option<usize>,
    /// The number of redeliveries after which a message that is dropped once more is dead-lettered. `None` means never;
    /// then [`Broker::dead_letters`] returns `None`.
    pub dead_letters_after: Option<u32>,
}

/// A kind of broker that the suite can test.
#[async_trait]
pub trait BrokerUnderTest: Send + Sync {
    /// Returns what it can do.
    fn capabilities(&self) -> Capabilities;

    /// Returns how long the suite waits for it.
    fn limits(&self) -> TimeLimits {
        TimeLimits::default()
    }

    /// Creates a broker with a [`Broker`] and a queue for each of `services`. All queues are empty and have no
    /// consumer. There is no other queue, and a publisher must not create one.
    async fn fresh(&self, services: &[ServiceSpec]) -> Brokers;

    /// Returns the same broker with the queues of all [`SERVICES`](super::SERVICES). A broker that stores nothing may
    /// return a new one: the suite has no publisher or consumer open at that time.
    async fn with_all_queues(&self, brokers: Brokers) -> Brokers;
}

/// One broker as each service sees it.
pub struct Brokers {
    services: HashMap<&'static str, Arc<dyn Broker>>,
    keep: Box<dyn Any + Send + Sync>,
}

impl Brokers {
    /// Takes the [`Broker`] of each service, by its name. `keep` is dropped at the end of the test: for example a
    /// server or a temporary directory, or `()`.
    pub fn new<B: Broker + 'static>(
        services: impl IntoIterator<Item = (&'static str, B)>,
        keep: impl Any + Send + Sync,
    ) -> Self {
        let services = services.into_iter().map(|(name, broker)| (name, Arc::new(broker) as Arc<dyn Broker>));
        Self { services: services.collect(), keep: Box::new(keep) }
    }

    /// Returns the [`Broker`] of this service.
    ///
    /// # Panics
    /// If [`Brokers::new`] was not given one.
    #[must_use]
    pub fn of(&self, service: &str) -> &Arc<dyn Broker> {
        self.services.get(service).unwrap_or_else(|| panic!("the broker under test has no `Broker` for {service}"))
    }

    /// Returns the `keep` that [`Brokers::new`] was given.
    ///
    /// # Panics
    /// If it has another type.
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
