//! The statistics of the queue, for the metrics.

use saga_runtime::{broker::Broker, broker::QueueStats};
use shared_events::Service;

use super::{
    messages::{messages, publish, take},
    server::Vhost,
};
use crate::wait::until;

#[tokio::test]
async fn a_consumer_knows_how_its_queue_stands_while_it_is_connected() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    assert_eq!(broker.queue(), None);
    let mut subscription = broker.subscribe(5).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(8)).await;
    let held = take(&mut subscription, 5).await;
    until("three wait", async || broker.queue() == Some(QueueStats { ready: 3, consumers: 1 })).await;
    for delivery in held {
        delivery.receipt.acknowledge();
    }
    for delivery in take(&mut subscription, 3).await {
        delivery.receipt.acknowledge();
    }
    until("none waits", async || broker.queue() == Some(QueueStats { ready: 0, consumers: 1 })).await;
    drop(subscription);
    until("nothing is known", async || broker.queue().is_none()).await;
}
