//! RabbitMQ passes the conformance suite.

use async_trait::async_trait;
use saga_message::ServiceSpec;
use saga_rabbitmq::{
    RabbitMq, RabbitMqSettings,
    topology::{DELIVERY_LIMIT, Exchange, ExchangeType, Topology},
};
use saga_runtime::{
    broker::Broker,
    conformance::{BrokerUnderTest, Brokers, Capabilities, SERVICES},
};
use serde_json::json;
use uuid::Uuid;

use super::server::Vhost;

struct OnRabbitMq;

#[async_trait]
impl BrokerUnderTest for OnRabbitMq {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            keeps_order: true,
            // Quorum queues do not guarantee it.
            keeps_order_of_redeliveries: false,
            reports_unroutable: true,
            counts_redeliveries: true,
            keeps_message_ids: true,
            // Replicas of a service share its queue.
            single_consumer: false,
            queue_capacity: None,
            dead_letters_after: Some(DELIVERY_LIMIT),
        }
    }

    async fn fresh(&self, services: &[ServiceSpec]) -> Brokers {
        let vhost = Vhost::new().await;
        // A service that may declare creates the missing queues.
        let user = format!("user-{}", Uuid::now_v7());
        vhost.user(&user, json!({ "password": PASSWORD })).await;
        vhost.permit(&user, "^$", ".*", ".*").await;
        make_queues(&vhost, services).await;
        brokers(vhost, user)
    }

    async fn with_all_queues(&self, brokers: Brokers) -> Brokers {
        let (vhost, user): (Vhost, String) = brokers.into_kept();
        make_queues(&vhost, &SERVICES).await;
        self::brokers(vhost, user)
    }
}

const PASSWORD: &str = "a-secret";

/// Creates the exchanges of all services and the queues of some: each consumer creates its queue, and has ended when
/// this returns.
async fn make_queues(vhost: &Vhost, services: &[ServiceSpec]) {
    let exchange = |exchange: Exchange| {
        let kind = match exchange.kind {
            ExchangeType::Direct => "direct",
            ExchangeType::Topic => "topic",
        };
        json!({"name": exchange.name, "type": kind, "durable": true, "auto_delete": false, "internal": false, "arguments": {}})
    };
    let exchanges = SERVICES.iter().flat_map(|service| Topology::to_publish(service).exchanges).map(exchange);
    vhost.import(json!({ "exchanges": exchanges.collect::<Vec<_>>() })).await;
    for &service in services {
        let broker = broker(service, vhost.url(None));
        drop(broker.subscribe(1).await.unwrap());
        broker.closed().await;
    }
}

fn broker(service: ServiceSpec, url: String) -> RabbitMq {
    RabbitMq::new(&RabbitMqSettings { service, url, password_file: None, ca_file: None }).unwrap()
}

fn brokers(vhost: Vhost, user: String) -> Brokers {
    let url = vhost.url(Some((&user, PASSWORD)));
    let brokers = SERVICES.map(|service| (service.name, broker(service, url.clone())));
    Brokers::new(brokers, (vhost, user))
}

saga_runtime::conformance_tests!(OnRabbitMq);
