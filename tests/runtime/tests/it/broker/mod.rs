//! The in-process broker, as the services of the order system see it.

use std::{collections::HashMap, ops::Index, sync::Arc};

use saga_memory_broker::InProcessBroker;
use saga_runtime::broker::{Broker, Subscription};
use shared_events::Service;

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

pub(crate) async fn subscribe(broker: &Arc<dyn Broker>, prefetch: usize) -> Subscription {
    broker.subscribe(prefetch).await.unwrap()
}
