use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use saga_runtime::{broker::Broker, broker::PublishResult};
use serde_json::json;
use shared_events::Service;

use super::{
    messages::{id, ids, message, messages, next, nothing_comes, publish, take, undeliverable, unroutable},
    server::{Vhost, broker},
};

/// Opens a channel on a connection of its own, which stays open.
async fn channel(vhost: &Vhost) -> Channel {
    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, routing_key: &str) {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), routing_key.into(), options, none).await.unwrap();
}

/// Declares a queue in memory.
async fn declare_queue(channel: &Channel, name: &str) {
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(name.into(), exclusive, FieldTable::default()).await.unwrap();
}

#[tokio::test]
async fn a_message_is_confirmed_delivered_and_acknowledged() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(3);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, vec![PublishResult::Confirmed; 3]);
    for sent in &sent {
        let delivery = next(&mut subscription).await;
        assert_eq!((id(&delivery), delivery.redeliveries), (sent.message_id.to_string(), 0));
        assert_eq!(*delivery.body, *sent.body.as_bytes());
        delivery.receipt.acknowledge();
    }
}

#[tokio::test]
async fn its_properties_are_what_people_look_at() {
    let vhost = Vhost::new().await;
    let inventory = vhost.broker(Service::Inventory);
    drop(inventory.subscribe(1).await.unwrap());
    inventory.closed().await;
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = message("order.created", &[Service::Inventory]);
    publish(&mut *publisher, &mut outcomes, std::slice::from_ref(&sent)).await;

    let channel = channel(&vhost).await;
    let got = channel.basic_get("inventory".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    let properties = &got.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(text(properties.message_id()), Some(sent.message_id.to_string()));
    assert_eq!(text(properties.correlation_id()), sent.correlation_id.map(|saga| saga.to_string()));
    assert_eq!(text(properties.kind()).as_deref(), Some("order-system.order.created.v1"));
    assert_eq!(text(properties.app_id()).as_deref(), Some("order"));
    assert_eq!(text(properties.content_type()).as_deref(), Some("application/cloudevents+json"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert!(properties.timestamp().is_some());
    assert_eq!(
        (got.exchange.to_string(), got.routing_key.to_string()),
        ("order.deliveries".into(), "inventory".into())
    );
}

#[tokio::test]
async fn what_no_queue_is_bound_for_is_unroutable_and_what_is_for_whoever_listens_is_confirmed() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = [undeliverable(), message("order.failed", &[])];
    let results = publish(&mut *publisher, &mut outcomes, &sent).await;
    assert_eq!(results, [unroutable("order"), PublishResult::Confirmed]);

    // Once a queue is bound, the same message is accepted.
    let channel = channel(&vhost).await;
    bind(&channel, "inventory", "order.deliveries", "order").await;
    assert_eq!(
        publish(&mut *publisher, &mut outcomes, &sent).await,
        [PublishResult::Confirmed, PublishResult::Confirmed]
    );
    assert_eq!(id(&next(&mut subscription).await), ids(&sent)[0]);
}

/// RabbitMQ reports only whether *some* queue accepted a message, so listeners and consumers have separate exchanges.
#[tokio::test]
async fn a_queue_that_listens_to_everything_gets_each_event_once_and_stands_in_for_no_consumer() {
    let vhost = Vhost::new().await;
    let (mut publisher, mut outcomes) = vhost.broker(Service::Inventory).publisher().await.unwrap();
    let channel = channel(&vhost).await;
    declare_queue(&channel, "listener").await;
    for exchange in ["inventory.events", "inventory.deliveries"] {
        bind(&channel, "listener", exchange, "#").await;
    }
    vhost.unbind("inventory.deliveries", "payment", "payment").await;
    let sent = [message("stock.reserved", &[Service::Payment, Service::Order])];
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [unroutable("payment")]);
    let taken = BasicGetOptions { no_ack: true };
    let heard = channel.basic_get("listener".into(), taken).await.unwrap().expect("the listener has it");
    assert_eq!(
        (heard.exchange.to_string(), heard.routing_key.to_string()),
        ("inventory.events".into(), "stock.reserved".into())
    );
    assert!(channel.basic_get("listener".into(), taken).await.unwrap().is_none(), "and once");
}

#[tokio::test]
async fn what_earlier_versions_bound_brings_no_event_twice() {
    let vhost = Vhost::new().await;
    let inventory = vhost.broker(Service::Inventory);
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let channel = channel(&vhost).await;
    for key in ["order.created", "order.cancel-requested", "order.cancel-requested.inventory"] {
        bind(&channel, "inventory", "order.events", key).await;
    }
    let mut subscription = inventory.subscribe(10).await.unwrap();
    let sent = messages(3);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, vec![PublishResult::Confirmed; 3]);
    let taken = take(&mut subscription, 3).await;
    assert_eq!(taken.iter().map(id).collect::<Vec<_>>(), ids(&sent));
    taken.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    nothing_comes(&mut subscription).await;
}

#[tokio::test]
async fn what_is_published_before_its_consumers_were_ever_started_waits_for_them() {
    let vhost = Vhost::new().await;
    let (mut publisher, mut outcomes) = vhost.broker(Service::Inventory).publisher().await.unwrap();
    let sent = [message("stock.reserved", &[Service::Payment, Service::Order])];
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    for consumer in [Service::Payment, Service::Order] {
        let mut subscription = vhost.broker(consumer).subscribe(10).await.unwrap();
        let delivery = next(&mut subscription).await;
        assert_eq!(id(&delivery), ids(&sent)[0]);
        delivery.receipt.acknowledge();
        nothing_comes(&mut subscription).await;
    }
}

/// Declaring the consumers' queues is optional: a failure there is the consumer's concern, and publishing continues.
#[tokio::test]
async fn a_consumers_queue_that_cannot_be_declared_does_not_stop_a_publisher() {
    let vhost = Vhost::new().await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel(&vhost).await.queue_declare("payment".into(), durable, FieldTable::default()).await.unwrap();
    let mut order = vhost.broker(Service::Order).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Inventory).publisher().await.unwrap();
    let sent =
        [message("stock.released", &[Service::Order]), message("stock.reserved", &[Service::Payment, Service::Order])];
    let results = publish(&mut *publisher, &mut outcomes, &sent).await;
    assert_eq!(results, [PublishResult::Confirmed, unroutable("payment")]);
    assert_eq!(take(&mut order, 2).await.iter().map(id).collect::<Vec<_>>(), ids(&sent));
}

/// The problem that the module `return_tracker` solves: among thousands of confirms, each return must be assigned to
/// the message and the copy that was returned. A queue in memory confirms at once and in bulk, and then some of the
/// returns come with another message's confirm.
#[tokio::test(flavor = "multi_thread")]
async fn among_thousands_exactly_the_unroutable_ones_are_told() {
    let vhost = Vhost::new().await;
    // This user may not declare bindings, so a deleted one stays deleted.
    vhost.user(&vhost.name, json!({ "password": "secret" })).await;
    vhost.permit(&vhost.name, "^$", ".*", ".*").await;
    drop(vhost.broker(Service::Order).publisher().await.unwrap());
    let order = broker(Service::Order, vhost.url(Some((&vhost.name, "secret"))));
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    let channel = channel(&vhost).await;
    declare_queue(&channel, "in-memory").await;
    bind(&channel, "in-memory", "order.deliveries", "inventory").await;
    for consumer in ["inventory", "payment"] {
        vhost.unbind("order.deliveries", consumer, consumer).await;
    }
    for distance in [2, 3, 5, 7, 17, 50] {
        let sent = |index: usize| match index {
            index if index.is_multiple_of(2 * distance) => undeliverable(),
            index if index.is_multiple_of(distance) => {
                message("order.cancel-requested", &[Service::Inventory, Service::Payment])
            }
            _ => message("order.created", &[Service::Inventory]),
        };
        let sent: Vec<_> = (0..3_000).map(sent).collect();
        let results = publish(&mut *publisher, &mut outcomes, &sent).await;
        for (sent, result) in sent.iter().zip(results) {
            let expected = match sent.route.consumers {
                ["inventory"] => PublishResult::Confirmed,
                [.., last] => unroutable(last),
                [] => unreachable!("all have consumers"),
            };
            assert_eq!(result, expected, "distance {distance}");
        }
    }
}

#[tokio::test]
async fn outcomes_come_after_the_publisher_is_dropped_and_end_then() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Order);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    publisher.publish((0..100).map(|_| undeliverable()).collect()).await.unwrap();
    drop(publisher);
    let mut heard = 0;
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!(outcome.result, unroutable("order"));
        heard += 1;
    }
    assert_eq!(heard, 100);
    broker.closed().await;
}
