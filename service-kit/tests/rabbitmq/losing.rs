use service_kit::broker::{Broker, BrokerError, Verdict};
use shared_events::Service;
use tokio::time::timeout;

use crate::{
    server::{PATIENCE, Vhost},
    sundry::{id, messages, next, publish},
};

#[tokio::test]
async fn a_publisher_that_lost_its_connection_ends_and_the_next_one_works() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Order);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    // Nothing is under way: the loss itself must be noticed.
    vhost.close_connections(Service::Order, "publish").await;
    assert_eq!(timeout(PATIENCE, outcomes.recv()).await.expect("it ends"), None);
    let BrokerError::Unreachable(why) = publisher.publish(messages(1)).await.unwrap_err() else { panic!() };
    assert!(why.contains("CONNECTION_FORCED"), "{why}");

    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [Verdict::Unroutable]);
}

#[tokio::test]
async fn a_consumer_that_lost_its_connection_ends_and_the_next_one_gets_its_deliveries() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    let mut subscription = broker.subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(2)).await;
    next(&mut subscription).await.receipt.acknowledge();
    let held = next(&mut subscription).await;
    vhost.close_connections(Service::Inventory, "consume").await;
    assert!(timeout(PATIENCE, subscription.recv()).await.expect("it ends").is_none());

    let mut subscription = broker.subscribe(10).await.unwrap();
    let again = next(&mut subscription).await;
    assert_eq!((id(&again), again.redeliveries), (id(&held), 1));
    // Of no use any more, and no harm.
    held.receipt.acknowledge();
    again.receipt.acknowledge();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    next(&mut subscription).await.receipt.acknowledge();
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_ends_and_the_next_one_makes_it_anew() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    let mut subscription = broker.subscribe(10).await.unwrap();
    vhost.delete("queues", "inventory").await;
    assert!(timeout(PATIENCE, subscription.recv()).await.expect("it ends").is_none());
    let mut subscription = broker.subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    next(&mut subscription).await.receipt.acknowledge();
}

/// RabbitMQ 3.10 answers some of those who declare the same quorum queue at once with INTERNAL_ERROR.
#[tokio::test(flavor = "multi_thread")]
async fn all_may_start_at_the_same_time() {
    for _round in 0..5 {
        let vhost = Vhost::new().await;
        let mut starting = tokio::task::JoinSet::new();
        for service in Service::ALL {
            for _replica in 0..3 {
                let broker = vhost.broker(service);
                starting.spawn(async move {
                    tokio::try_join!(broker.publisher(), broker.subscribe(10), broker.dead_letters(10)).map(drop)
                });
            }
        }
        while let Some(started) = starting.join_next().await {
            started.unwrap().unwrap();
        }
    }
}
