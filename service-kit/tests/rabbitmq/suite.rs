//! RabbitMQ is held to what every broker promises.

use async_trait::async_trait;
use service_kit::broker::Broker;
use shared_events::Service;

use crate::{
    broker::{BrokerUnderTest, Brokers, held_to_the_suite},
    server::Vhost,
};

struct OnRabbitMq;

#[async_trait]
impl BrokerUnderTest for OnRabbitMq {
    async fn fresh(&self, services: &[Service]) -> Brokers {
        let vhost = Vhost::new().await;
        for &service in services {
            // The first consumer makes the queue. It is gone entirely before the test begins.
            let broker = vhost.broker(service);
            drop(broker.subscribe(1).await.unwrap());
            broker.closed().await;
        }
        let brokers: Vec<_> = services.iter().map(|&service| (service, vhost.broker(service))).collect();
        Brokers::new(brokers, vhost)
    }
}

held_to_the_suite!(OnRabbitMq);
