//! RabbitMQ is held to what every broker promises.

use async_trait::async_trait;
use saga_rabbitmq::topology::{Exchange, ExchangeType, Topology};
use saga_runtime::broker::Broker;
use serde_json::json;
use shared_events::Service;
use uuid::Uuid;

use crate::{
    broker::{BrokerUnderTest, Brokers, held_to_the_suite},
    server::{Vhost, broker},
};

struct OnRabbitMq;

#[async_trait]
impl BrokerUnderTest for OnRabbitMq {
    async fn fresh(&self, services: &[Service]) -> Brokers {
        let vhost = Vhost::new().await;
        // Whoever may declare makes the queues that are missing.
        let user = format!("user-{}", Uuid::now_v7());
        vhost.user(&user, json!({ "password": PASSWORD })).await;
        vhost.permit(&user, "^$", ".*", ".*").await;
        make_queues(&vhost, services).await;
        brokers(vhost, user)
    }

    async fn completed(&self, brokers: Brokers) -> Brokers {
        let site = brokers.rest.downcast::<(Vhost, String)>().expect("what `brokers` keeps");
        let (vhost, user) = *site;
        make_queues(&vhost, &Service::ALL).await;
        self::brokers(vhost, user)
    }
}

const PASSWORD: &str = "a-secret";

/// The exchanges of all, and the queues of some: a consumer makes its queue. It is gone entirely when this returns.
async fn make_queues(vhost: &Vhost, services: &[Service]) {
    let exchange = |exchange: Exchange| {
        let kind = match exchange.kind {
            ExchangeType::Direct => "direct",
            ExchangeType::Topic => "topic",
        };
        json!({"name": exchange.name, "type": kind, "durable": true, "auto_delete": false, "internal": false, "arguments": {}})
    };
    let exchanges =
        Service::ALL.into_iter().flat_map(|service| Topology::to_publish(&service.spec()).exchanges).map(exchange);
    vhost.import(json!({ "exchanges": exchanges.collect::<Vec<_>>() })).await;
    for &service in services {
        let broker = vhost.broker(service);
        drop(broker.subscribe(1).await.unwrap());
        broker.closed().await;
    }
}

fn brokers(vhost: Vhost, user: String) -> Brokers {
    let url = vhost.url(Some((&user, PASSWORD)));
    let brokers: Vec<_> = Service::ALL.into_iter().map(|service| (service, broker(service, url.clone()))).collect();
    Brokers::new(brokers, (vhost, user))
}

held_to_the_suite!(OnRabbitMq);
