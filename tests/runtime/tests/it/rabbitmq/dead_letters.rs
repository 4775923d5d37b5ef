//! Messages that the broker itself has dead-lettered.

use lapin::{
    Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions},
};
use saga_rabbitmq::topology::{DELIVERY_LIMIT, dead_letter_queue};
use saga_runtime::{broker::Broker, broker::Subscription};
use shared_events::Service;

use super::{
    messages::{id, ids, messages, next, nothing_comes, publish},
    server::Vhost,
};
use crate::wait::until;

/// Publishes a message for inventory, and drops it until the broker dead-letters it.
async fn killed(vhost: &Vhost, subscription: &mut Subscription) -> String {
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(1);
    publish(&mut *publisher, &mut outcomes, &sent).await;
    for redeliveries in 0..=DELIVERY_LIMIT {
        let delivery = next(subscription).await;
        assert_eq!((delivery.redeliveries, delivery.dead_lettered), (redeliveries, None));
    }
    ids(&sent).remove(0)
}

async fn dead_letters(vhost: &Vhost, service: Service) -> Subscription {
    vhost.broker(service).dead_letters(10).await.unwrap().expect("this broker has dead letters")
}

#[tokio::test]
async fn a_message_that_keeps_coming_back_becomes_a_dead_letter_that_says_why() {
    let vhost = Vhost::new().await;
    let mut letters = dead_letters(&vhost, Service::Inventory).await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let killed = killed(&vhost, &mut subscription).await;

    let letter = next(&mut letters).await;
    assert_eq!((id(&letter), letter.redeliveries), (killed.clone(), 0));
    let why = format!("delivered more than {DELIVERY_LIMIT} times without an acknowledgement (queue \"inventory\")");
    assert_eq!(letter.dead_lettered.as_deref(), Some(why.as_str()));
    // A dead letter that is not acknowledged stays in its queue.
    drop(letter);
    let letter = next(&mut letters).await;
    assert_eq!((id(&letter), letter.redeliveries, letter.dead_lettered), (killed, 1, Some(why)));
    letter.receipt.acknowledge();
    nothing_comes(&mut letters).await;
    nothing_comes(&mut subscription).await;
}

#[tokio::test]
async fn a_dead_letter_that_is_moved_back_is_an_ordinary_delivery_and_may_die_again() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let killed = killed(&vhost, &mut subscription).await;

    // The management UI moves messages like this.
    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = dead_letter_queue("inventory");
    let mut letter = None;
    until("the dead letter comes", async || {
        letter = channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap();
        letter.is_some()
    })
    .await;
    let letter = letter.unwrap();
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), "inventory".into(), options, &letter.data, letter.properties.clone())
        .await
        .unwrap();

    for redeliveries in 0..=DELIVERY_LIMIT {
        let delivery = next(&mut subscription).await;
        assert_eq!((id(&delivery), delivery.redeliveries), (killed.clone(), redeliveries));
        assert_eq!(delivery.dead_lettered, None);
    }
    let letter = next(&mut dead_letters(&vhost, Service::Inventory).await).await;
    // RabbitMQ 4 does not count the deaths from before the message was published again.
    let why = letter.dead_lettered.unwrap();
    assert!(why.contains("without an acknowledgement (queue \"inventory\""), "{why}");
}

#[tokio::test]
async fn each_service_has_its_own_dead_letters() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let mut others = dead_letters(&vhost, Service::Order).await;
    let killed = killed(&vhost, &mut subscription).await;
    assert_eq!(id(&next(&mut dead_letters(&vhost, Service::Inventory).await).await), killed);
    nothing_comes(&mut others).await;
}
