use std::collections::BTreeSet;

use saga_runtime::{broker::Broker, broker::Delivery};
use shared_events::Service;
use tokio::time::timeout;

use super::{
    messages::{id, ids, messages, next, nothing_comes, publish, take},
    server::{TIMEOUT, Vhost},
};

/// Publishes `count` messages for inventory, whose queue exists, and returns their ids.
async fn published(vhost: &Vhost, count: usize) -> Vec<String> {
    let (mut publisher, mut outcomes) = vhost.broker(Service::Order).publisher().await.unwrap();
    let sent = messages(count);
    publish(&mut *publisher, &mut outcomes, &sent).await;
    ids(&sent)
}

#[tokio::test]
async fn a_dropped_delivery_comes_again_and_is_counted() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let sent = published(&vhost, 1).await;
    for redeliveries in 0..3 {
        let delivery = next(&mut subscription).await;
        assert_eq!((id(&delivery), delivery.redeliveries), (sent[0].clone(), redeliveries));
    }
    next(&mut subscription).await.receipt.acknowledge();
    nothing_comes(&mut subscription).await;
}

#[tokio::test]
async fn no_more_than_the_prefetch_are_out() {
    let vhost = Vhost::new().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(5).await.unwrap();
    let sent = published(&vhost, 20).await;
    let mut held = take(&mut subscription, 5).await;
    nothing_comes(&mut subscription).await;
    held.remove(2).receipt.acknowledge();
    held.push(next(&mut subscription).await);
    nothing_comes(&mut subscription).await;
    let mut seen: Vec<_> = held.iter().map(id).collect();
    seen.insert(2, sent[2].clone());
    assert_eq!(seen, sent[..6]);
}

#[tokio::test]
async fn settled_in_any_order_each_message_is_settled_once() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    let mut subscription = broker.subscribe(500).await.unwrap();
    let sent = published(&vhost, 500).await;
    let deliveries = take(&mut subscription, 500).await;
    // Every third delivery is dropped; the others are acknowledged from both ends towards the middle.
    let mut given_back = BTreeSet::new();
    let mut acknowledged: std::collections::VecDeque<Delivery> = Default::default();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        if index % 3 == 0 {
            given_back.insert(id(&delivery));
        } else {
            acknowledged.push_back(delivery);
        }
    }
    while let Some(last) = acknowledged.pop_back() {
        last.receipt.acknowledge();
        if acknowledged.len().is_multiple_of(50) {
            tokio::task::yield_now().await;
        }
        if let Some(first) = acknowledged.pop_front() {
            first.receipt.acknowledge();
        }
    }
    let again: BTreeSet<_> = take(&mut subscription, given_back.len()).await.iter().map(id).collect();
    assert_eq!(again, given_back);
    assert_eq!(sent.len(), 500);
    // The dropped ones are dropped once more; a new connection receives these and no others.
    drop(subscription);
    broker.closed().await;
    let mut subscription = vhost.broker(Service::Inventory).subscribe(500).await.unwrap();
    let again: Vec<_> = take(&mut subscription, given_back.len()).await;
    assert_eq!(again.iter().map(id).collect::<BTreeSet<_>>(), given_back);
    nothing_comes(&mut subscription).await;
}

#[tokio::test]
async fn what_was_taken_is_settled_after_the_subscription_is_dropped() {
    let vhost = Vhost::new().await;
    let broker = vhost.broker(Service::Inventory);
    let mut subscription = broker.subscribe(10).await.unwrap();
    let sent = published(&vhost, 10).await;
    let mut taken = take(&mut subscription, 4).await;
    drop(subscription);
    // What was not received goes to another consumer at once, while the rest is still being handled.
    let mut other = vhost.broker(Service::Inventory).subscribe(10).await.unwrap();
    let others = take(&mut other, 6).await;
    assert_eq!(others.iter().map(id).collect::<BTreeSet<_>>(), sent[4..].iter().cloned().collect());
    nothing_comes(&mut other).await;
    let given_back = id(&taken.remove(1));
    taken.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    let again = next(&mut other).await;
    assert_eq!(id(&again), given_back);
    timeout(TIMEOUT, broker.closed()).await.expect("it closes when all is settled");
    nothing_comes(&mut other).await;
}

#[tokio::test]
async fn two_consumers_share_a_queue() {
    let vhost = Vhost::new().await;
    let mut first = vhost.broker(Service::Inventory).subscribe(5).await.unwrap();
    let mut second = vhost.broker(Service::Inventory).subscribe(5).await.unwrap();
    let sent = published(&vhost, 10).await;
    let (ours, theirs) = (take(&mut first, 5).await, take(&mut second, 5).await);
    let all: BTreeSet<_> = ours.iter().chain(&theirs).map(id).collect();
    assert_eq!(all, sent.into_iter().collect());
    // One consumer disconnects: the other receives all its deliveries.
    let lost: BTreeSet<_> = theirs.iter().map(id).collect();
    drop((second, theirs));
    ours.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    assert_eq!(take(&mut first, 5).await.iter().map(id).collect::<BTreeSet<_>>(), lost);
}
