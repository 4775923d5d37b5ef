//! The in-process broker, as the services of the order system see it.

use std::{collections::HashMap, ops::Index, sync::Arc};

use saga_memory_broker::InProcessBroker;
use saga_runtime::{
    broker::{Broker, Outgoing, Subscription},
    conformance::{TestPublisher, TimeLimits},
};
use shared_events::{MessageId, Service};

/// One broker, as each service sees it.
pub(crate) struct Brokers(HashMap<&'static str, Arc<dyn Broker>>);

impl Brokers {
    /// A broker whose queues take `capacity` messages each.
    pub(crate) fn in_process(services: &[Service], capacity: usize) -> Self {
        let names: Vec<&'static str> = services.iter().map(|service| service.name()).collect();
        let brokers = InProcessBroker::for_services(&names, capacity).into_iter();
        Self(brokers.map(|(name, broker)| (name, Arc::new(broker) as Arc<dyn Broker>)).collect())
    }
}

impl Index<&Service> for Brokers {
    type Output = Arc<dyn Broker>;

    fn index(&self, service: &Service) -> &Self::Output {
        &self.0[service.name()]
    }
}

/// An open publisher and its outcomes.
pub(crate) struct Voice(TestPublisher);

impl Voice {
    pub(crate) async fn open(broker: &Arc<dyn Broker>) -> Self {
        Self(TestPublisher::open(&**broker, TimeLimits::default()).await)
    }

    pub(crate) async fn say(&mut self, messages: &[Outgoing]) {
        self.0.publish(messages).await;
    }

    /// The next outcomes, all of which confirm; the messages in the order of their ids.
    pub(crate) async fn hear_confirmed(&mut self, count: usize) -> Vec<MessageId> {
        self.0.confirmed(count).await
    }
}

pub(crate) async fn subscribe(broker: &Arc<dyn Broker>, prefetch: usize) -> Subscription {
    broker.subscribe(prefetch).await.unwrap()
}
