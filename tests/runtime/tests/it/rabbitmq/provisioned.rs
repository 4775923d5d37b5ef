//! A broker that was provisioned with `rabbitmq/definitions.json`, so the services have minimal permissions.

use saga_rabbitmq::RabbitMq;
use saga_runtime::{broker::Broker, broker::BrokerError, broker::Outgoing, broker::PublishResult};
use serde_json::{Value, json};
use shared_events::Service;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    messages::{id, ids, message, messages, next, publish, unroutable},
    server::{TIMEOUT, Vhost, broker},
};

/// The definitions, imported into a vhost. Users belong to the whole server, so their names are unique to the test.
struct Provisioned {
    vhost: Vhost,
    suffix: Uuid,
    topology: Value,
}

impl Provisioned {
    async fn new() -> Self {
        let vhost = Vhost::new().await;
        let suffix = Uuid::now_v7();
        let definitions: Value =
            serde_json::from_str(include_str!("../../../../../rabbitmq/definitions.json")).unwrap();
        for user in definitions["users"].as_array().unwrap() {
            let name = format!("{}-{suffix}", user["name"].as_str().unwrap());
            let hash =
                json!({ "password_hash": user["password_hash"], "hashing_algorithm": user["hashing_algorithm"] });
            vhost.user(&name, hash).await;
        }
        for rights in definitions["permissions"].as_array().unwrap() {
            let text = |field: &str| rights[field].as_str().unwrap();
            let user = format!("{}-{suffix}", text("user"));
            vhost.permit(&user, text("configure"), text("write"), text("read")).await;
        }
        let mut topology = json!({});
        for section in ["exchanges", "queues", "bindings"] {
            topology[section] = definitions[section].clone();
            for row in topology[section].as_array_mut().unwrap() {
                row.as_object_mut().unwrap().remove("vhost");
            }
        }
        let provisioned = Self { vhost, suffix, topology };
        provisioned.import().await;
        provisioned
    }

    /// Creates the exchanges, queues and bindings that are missing.
    async fn import(&self) {
        self.vhost.import(self.topology.clone()).await;
    }

    /// The broker of `service`, with the password of `rabbitmq/README.md`.
    fn broker(&self, service: Service) -> RabbitMq {
        let user = format!("{service}-{}", self.suffix);
        broker(service, self.vhost.url(Some((&user, &format!("{service}-dev")))))
    }
}

/// The parts of the error: what is wrong and what to do.
fn unusable(error: BrokerError) -> (String, String) {
    let BrokerError::Unusable { wrong, remedy, .. } = error else { panic!("{error}") };
    (wrong, remedy)
}

#[tokio::test]
async fn every_service_works_with_the_least_rights() {
    let provisioned = Provisioned::new().await;
    let mut subscriptions = Vec::new();
    for service in Service::ALL {
        subscriptions.push((service, provisioned.broker(service).subscribe(100).await.unwrap()));
    }
    for service in Service::ALL {
        let (mut publisher, mut outcomes) = provisioned.broker(service).publisher().await.unwrap();
        for flow in shared_events::FLOWS.iter().filter(|flow| flow.publisher == service) {
            let sent = message(flow.routing_key, flow.consumers);
            let results = publish(&mut *publisher, &mut outcomes, std::slice::from_ref(&sent)).await;
            assert_eq!(results, [PublishResult::Confirmed], "{}", flow.event);
            for (_, subscription) in subscriptions.iter_mut().filter(|(service, _)| flow.consumers.contains(service)) {
                let delivery = next(subscription).await;
                assert_eq!(vec![id(&delivery)], ids(std::slice::from_ref(&sent)));
                delivery.receipt.acknowledge();
            }
        }
    }
}

#[tokio::test]
async fn what_one_of_two_consumers_is_not_bound_for_is_not_confirmed_until_it_is() {
    let provisioned = Provisioned::new().await;
    let mut order = provisioned.broker(Service::Order).subscribe(10).await.unwrap();
    let mut payment = provisioned.broker(Service::Payment).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = provisioned.broker(Service::Inventory).publisher().await.unwrap();
    provisioned.vhost.unbind("inventory.deliveries", "payment", "payment").await;
    let sent = [message("stock.reserved", &[Service::Payment, Service::Order])];
    let results = publish(&mut *publisher, &mut outcomes, &sent).await;
    assert_eq!(results, [unroutable("payment")]);
    provisioned.import().await;
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(id(&next(&mut payment).await), ids(&sent)[0]);
    // This consumer receives it twice, and recognizes it by its id.
    for _ in 0..2 {
        assert_eq!(id(&next(&mut order).await), ids(&sent)[0]);
    }
}

#[tokio::test]
async fn every_service_takes_its_dead_letters_and_no_others() {
    let provisioned = Provisioned::new().await;
    for service in Service::ALL {
        provisioned.broker(service).dead_letters(1).await.unwrap();
    }
    let user = format!("inventory-{}", provisioned.suffix);
    let thief = broker(Service::Payment, provisioned.vhost.url(Some((&user, "inventory-dev"))));
    let why = thief.dead_letters(1).await.unwrap_err().to_string();
    assert!(why.contains("ACCESS_REFUSED") && why.contains("payment.dead-letters"), "{why}");
}

#[tokio::test]
async fn a_service_cannot_say_what_is_anothers_to_say() {
    let provisioned = Provisioned::new().await;
    let (mut publisher, mut outcomes) = provisioned.broker(Service::Inventory).publisher().await.unwrap();
    let forged: Outgoing = message("order.created", &[Service::Inventory]);
    assert_eq!(forged.route.publisher, "order");
    publisher.publish(vec![forged]).await.unwrap();
    assert_eq!(timeout(TIMEOUT, outcomes.recv()).await.expect("the channel is closed"), None);
    let (wrong, remedy) = unusable(publisher.publish(Vec::new()).await.unwrap_err());
    // Two copies are published, on two channels; either may be refused first.
    assert!(wrong.contains("ACCESS_REFUSED") && wrong.contains("exchange 'order."), "{wrong}");
    assert!(remedy.contains("rights that rabbitmq/README.md names"), "{remedy}");
    // Nothing was published, and the service that may publish it still can.
    let mut subscription = provisioned.broker(Service::Inventory).subscribe(1).await.unwrap();
    let (mut publisher, mut outcomes) = provisioned.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(1);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(id(&next(&mut subscription).await), ids(&sent)[0]);
}

#[tokio::test]
async fn a_service_cannot_take_anothers_messages() {
    let provisioned = Provisioned::new().await;
    let user = format!("inventory-{}", provisioned.suffix);
    let thief = broker(Service::Payment, provisioned.vhost.url(Some((&user, "inventory-dev"))));
    let (wrong, remedy) = unusable(thief.subscribe(1).await.unwrap_err());
    assert!(wrong.contains("ACCESS_REFUSED") && wrong.contains("payment"), "{wrong}");
    assert!(remedy.contains("rights that rabbitmq/README.md names"), "{remedy}");
}

#[tokio::test]
async fn all_that_is_missing_is_named_at_once() {
    let provisioned = Provisioned::new().await;
    for (kind, name) in [("queues", "order"), ("queues", "order.dead-letters"), ("exchanges", "payment.deliveries")] {
        provisioned.vhost.delete(kind, name).await;
    }
    let (why, remedy) = unusable(provisioned.broker(Service::Order).subscribe(1).await.unwrap_err());
    assert!(remedy.contains("import rabbitmq/definitions.json"), "{remedy}");
    for name in ["the queue \"order\"", "the queue \"order.dead-letters\"", "the exchange \"payment.deliveries\""] {
        assert!(why.contains(name), "{why}");
    }
    // A publisher needs none of these.
    provisioned.broker(Service::Order).publisher().await.unwrap();
    let (why, _) = unusable(provisioned.broker(Service::Payment).publisher().await.map(|_| ()).unwrap_err());
    assert!(why.contains("the exchange \"payment.deliveries\""), "{why}");
}
