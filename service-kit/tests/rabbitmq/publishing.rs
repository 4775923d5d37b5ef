use lapin::{
    Connection, ConnectionProperties,
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use service_kit::broker::{Broker, Verdict};
use shared_events::Service;

use crate::{
    server::Vhost,
    sundry::{id, ids, message, messages, next, publish, take},
};

#[tokio::test]
async fn a_message_is_confirmed_delivered_and_acknowledged() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(3);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, vec![Verdict::Confirmed; 3]);
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
    let sent = message("order.created", true);
    publish(&mut *publisher, &mut outcomes, std::slice::from_ref(&sent)).await;

    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let got = channel.basic_get("inventory".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    let properties = &got.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(text(properties.message_id()), Some(sent.message_id.to_string()));
    assert_eq!(text(properties.correlation_id()), Some(sent.correlation_id.to_string()));
    assert_eq!(text(properties.kind()).as_deref(), Some("order-system.order.created.v1"));
    assert_eq!(text(properties.app_id()).as_deref(), Some("order"));
    assert_eq!(text(properties.content_type()).as_deref(), Some("application/cloudevents+json"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert!(properties.timestamp().is_some());
    assert_eq!(
        (got.exchange.to_string(), got.routing_key.to_string()),
        ("order.events".into(), "order.created".into())
    );
}

#[tokio::test]
async fn a_mandatory_message_without_a_queue_is_unroutable_and_any_other_is_confirmed() {
    let vhost = Vhost::new().await;
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = [message("order.created", true), message("order.confirmed", false)];
    let verdicts = publish(&mut *publisher, &mut outcomes, &sent).await;
    assert_eq!(verdicts, [Verdict::Unroutable, Verdict::Confirmed]);

    // A queue is bound: the same message goes through.
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [Verdict::Confirmed, Verdict::Confirmed]);
    let delivered: Vec<_> = take(&mut subscription, 2).await.iter().map(id).collect();
    assert_eq!(delivered, ids(&sent));
}

/// The trap that the module `verdicts` is about: among thousands of confirms, each return is to be told of exactly the
/// message that came back. A queue in memory confirms at once and in bulk, and then some of the returns come with another
/// message's confirm.
#[tokio::test(flavor = "multi_thread")]
async fn among_thousands_exactly_the_unroutable_ones_are_told() {
    let vhost = Vhost::new().await;
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (exclusive, none) = (QueueDeclareOptions { exclusive: true, ..Default::default() }, FieldTable::default());
    channel.queue_declare("in-memory".into(), exclusive, none.clone()).await.unwrap();
    let (exchange, key) = ("order.events".into(), "order.created".into());
    channel.queue_bind("in-memory".into(), exchange, key, QueueBindOptions::default(), none).await.unwrap();
    for distance in [2, 3, 5, 7, 17, 50] {
        let routable = |index: usize| !index.is_multiple_of(distance);
        let key = |index: usize| if routable(index) { "order.created" } else { "order.nobody-listens" };
        let sent: Vec<_> = (0..3_000).map(|index| message(key(index), true)).collect();
        let verdicts = publish(&mut *publisher, &mut outcomes, &sent).await;
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let expected = if routable(index) { Verdict::Confirmed } else { Verdict::Unroutable };
            assert_eq!(verdict, expected, "distance {distance}, message {index}");
        }
    }
}

#[tokio::test]
async fn outcomes_come_after_the_publisher_is_dropped_and_end_then() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Order);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    publisher.publish(messages(100)).await.unwrap();
    drop(publisher);
    let mut heard = 0;
    while let Some(outcome) = outcomes.recv().await {
        assert_eq!(outcome.verdict, Verdict::Unroutable);
        heard += 1;
    }
    assert_eq!(heard, 100);
    broker.closed().await;
}
