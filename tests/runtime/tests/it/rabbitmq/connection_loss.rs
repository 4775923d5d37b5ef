use std::time::Duration;

use saga_runtime::{broker::Broker, broker::BrokerError, broker::PublishResult};
use shared_events::Service;
use tokio::time::timeout;

use super::{
    messages::{id, ids, message, messages, next, publish, publish_until_confirmed, unroutable},
    proxy::Proxy,
    server::{TIMEOUT, Vhost},
};

#[tokio::test]
async fn a_publisher_that_lost_its_connection_ends_and_the_next_one_works() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Order);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    // Nothing is in transit, so the loss of the connection itself must be noticed.
    vhost.close_connections(Service::Order, "publish").await;
    assert_eq!(timeout(TIMEOUT, outcomes.recv()).await.expect("it ends"), None);
    let BrokerError::Unreachable(why) = publisher.publish(messages(1)).await.unwrap_err() else { panic!() };
    assert!(why.contains("CONNECTION_FORCED"), "{why}");

    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [PublishResult::Confirmed]);
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
    assert!(timeout(TIMEOUT, subscription.recv()).await.expect("it ends").is_none());

    let mut subscription = broker.subscribe(10).await.unwrap();
    let again = next(&mut subscription).await;
    assert_eq!((id(&again), again.redeliveries), (id(&held), 1));
    // This acknowledgement has no effect any more, and does no harm.
    held.receipt.acknowledge();
    again.receipt.acknowledge();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    next(&mut subscription).await.receipt.acknowledge();
}

#[tokio::test]
async fn a_publisher_whose_line_is_dead_ends_by_itself_and_the_next_one_works() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let proxy = Proxy::to(&vhost).await;
    let broker = proxy.broker(Service::Order);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [PublishResult::Confirmed]);
    next(&mut subscription).await.receipt.acknowledge();
    proxy.stall();
    let sent = messages(1);
    publisher.publish(sent.clone()).await.unwrap();
    assert_eq!(timeout(TIMEOUT, outcomes.recv()).await.expect("it ends"), None);
    let error = publisher.publish(Vec::new()).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)) && error.to_string().contains("silent"), "{error}");

    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));
    drop((publisher, outcomes));
    timeout(TIMEOUT, broker.closed()).await.expect("nothing is left of the dead connection");
}

#[tokio::test]
async fn a_consumer_whose_line_is_dead_ends_by_itself_and_the_next_one_gets_its_deliveries() {
    let vhost = Vhost::new().await;
    let proxy = Proxy::to(&vhost).await;
    let broker = proxy.broker(Service::Inventory);
    let mut subscription = broker.subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(2);
    publish(&mut *publisher, &mut outcomes, &sent).await;
    let held = [next(&mut subscription).await, next(&mut subscription).await];
    proxy.stall();
    // The acknowledgements do not reach the server.
    held.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    assert!(timeout(TIMEOUT, subscription.recv()).await.expect("it ends").is_none());

    let mut subscription = broker.subscribe(10).await.unwrap();
    let mut again = [next(&mut subscription).await, next(&mut subscription).await];
    again.sort_by_key(id);
    assert_eq!(again.each_ref().map(id).to_vec(), ids(&sent));
    again.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
}

#[tokio::test]
async fn a_purged_queue_loses_what_lies_in_it_and_goes_on() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(1).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(3);
    publish(&mut *publisher, &mut outcomes, &sent).await;
    let held = next(&mut subscription).await;
    vhost.purge("inventory").await;
    // What was delivered still belongs to its consumer.
    assert_eq!(id(&held), ids(&sent)[0]);
    drop(held);
    let again = next(&mut subscription).await;
    assert_eq!((id(&again), again.redeliveries), (ids(&sent)[0].clone(), 1));
    again.receipt.acknowledge();
    let sent = messages(1);
    publish(&mut *publisher, &mut outcomes, &sent).await;
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_ends_and_the_next_one_makes_it_anew() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    let mut subscription = broker.subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    vhost.delete("queues", "inventory").await;
    assert!(timeout(TIMEOUT, subscription.recv()).await.expect("it ends").is_none());
    // Meanwhile, nothing counts as delivered.
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [unroutable("inventory")]);
    let mut subscription = broker.subscribe(10).await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [PublishResult::Confirmed]);
    next(&mut subscription).await.receipt.acknowledge();
}

#[tokio::test]
async fn a_publisher_whose_exchange_is_deleted_ends_and_the_next_one_makes_it_anew_with_its_bindings() {
    let vhost = Vhost::new().await;
    let (inventory, order) = (vhost.broker(Service::Inventory), vhost.broker(Service::Order));
    let mut subscription = inventory.subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    vhost.delete("exchanges", "order.deliveries").await;
    publisher.publish(messages(1)).await.unwrap();
    assert_eq!(timeout(TIMEOUT, outcomes.recv()).await.expect("it ends"), None);
    let error = publisher.publish(Vec::new()).await.unwrap_err();
    let BrokerError::Unusable { wrong, remedy, .. } = &error else { panic!("{error}") };
    assert!(wrong.contains("NOT_FOUND - no exchange 'order.deliveries'"), "{error}");
    assert!(remedy.contains("the next connection declares it again"), "{error}");

    // Its bindings were deleted with it, and the consumer was not notified.
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    let sent = messages(1);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));
}

#[tokio::test]
async fn a_publisher_binds_again_what_one_of_two_consumers_is_no_longer_bound_for() {
    let vhost = Vhost::new().await;
    let mut order = vhost.broker(Service::Order).subscribe(10).await.unwrap();
    let mut payment = vhost.broker(Service::Payment).subscribe(10).await.unwrap();
    let (mut publisher, mut outcomes) = vhost.broker(Service::Inventory).publisher().await.unwrap();
    vhost.unbind("inventory.deliveries", "payment", "payment").await;
    let sent = message("stock.reserved", &[Service::Payment, Service::Order]);
    let results = publish(&mut *publisher, &mut outcomes, std::slice::from_ref(&sent)).await;
    assert_eq!(results, [unroutable("payment")]);
    publish_until_confirmed(&mut *publisher, &mut outcomes, &sent).await;
    for subscription in [&mut order, &mut payment] {
        assert_eq!(id(&next(subscription).await), sent.message_id.to_string());
    }
}

/// Like <https://github.com/rabbitmq/rabbitmq-server/issues/6115>: the broker has the message and the connection is
/// open, but the confirm does not arrive.
#[tokio::test]
async fn a_publisher_whose_confirm_does_not_come_ends_and_the_next_one_works() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let proxy = Proxy::to(&vhost).await;
    let broker = proxy.broker(Service::Order).with_confirm_timeout(Duration::from_secs(2));
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [PublishResult::Confirmed]);
    next(&mut subscription).await.receipt.acknowledge();
    proxy.swallow_confirms(true);
    let sent = messages(1);
    publisher.publish(sent.clone()).await.unwrap();
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));
    assert_eq!(timeout(TIMEOUT, outcomes.recv()).await.expect("it ends"), None);
    let BrokerError::Unreachable(why) = publisher.publish(Vec::new()).await.unwrap_err() else { panic!() };
    assert!(why.contains("it has not confirmed a message within 2s"), "{why}");

    proxy.swallow_confirms(false);
    let (mut publisher, mut outcomes) = broker.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));
}

/// If several clients declare the same quorum queue at once, RabbitMQ 3.10 answers some of them with INTERNAL_ERROR.
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
