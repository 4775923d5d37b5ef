//! Consumers and publishers that connect and disconnect.

use std::collections::BTreeSet;

use super::{
    BrokerUnderTest, CREATED, SENDER, SERVICES, TestConsumer, WORKER, body_text, ids, message, numbered,
    suite::assert_bodies, system::numbers,
};
use crate::broker::{BrokerError, Delivery};

/// The unacknowledged deliveries of a consumer that disconnects go to the next one; acknowledged ones do not.
pub(super) async fn what_a_lost_consumer_held_goes_to_the_next(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let count = capabilities.queue_capacity.unwrap_or(12).min(12);
    for round in 0..24 {
        let sent = numbered(&CREATED, count);
        sender.publish(&sent).await;
        let mut worker = brokers.consumer(WORKER, 6, limits).await;
        let mut held = vec![worker.next().await, worker.next().await, worker.next().await];
        let acknowledged = held.remove(1);
        let (done, known): (_, Vec<_>) = (body_text(&acknowledged), held.iter().map(body_text).collect());
        acknowledged.receipt.acknowledge();
        go_away(round, worker, held);
        let mut worker = brokers.consumer(WORKER, 20, limits).await;
        let mut rest = Vec::new();
        while rest.len() < count - 1 {
            let delivery = worker.next().await;
            let body = body_text(&delivery);
            let counted = delivery.redeliveries > 0 || !capabilities.counts_redeliveries || !known.contains(&body);
            assert!(counted, "{body} was delivered before, and the delivery does not say so");
            assert!(body != done, "{body} was acknowledged, and comes again");
            delivery.receipt.acknowledge();
            rest.push(body);
        }
        let expected = numbers(0..count).into_iter().filter(|body| *body != done).collect();
        assert_bodies(rest, expected, capabilities.keeps_order && capabilities.keeps_order_of_redeliveries);
        assert_eq!(sender.confirmed(count).await, ids(&sent));
    }
}

/// Drops the consumer and its deliveries, each round in another order, because in practice the order is arbitrary.
fn go_away(round: usize, consumer: TestConsumer, mut held: Vec<Delivery>) {
    match round % 3 {
        0 => drop((consumer, held)),
        1 => drop((held, consumer)),
        _ => {
            held.reverse();
            drop((consumer, held));
        }
    }
}

/// An acknowledgement after its consumer has disconnected causes at most one redelivery, and the message is confirmed
/// once.
pub(super) async fn a_late_acknowledgement_costs_one_redelivery_at_most(kind: &dyn BrokerUnderTest) {
    let limits = kind.limits();
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    sender.publish(&[message(&CREATED, "body")]).await;
    let mut worker = brokers.consumer(WORKER, 10, limits).await;
    let held = worker.next().await;
    drop(worker);
    let mut worker = brokers.consumer(WORKER, 10, limits).await;
    held.receipt.acknowledge();
    let redelivered = worker.drain(0, &mut sender, 1).await;
    assert!(redelivered.len() <= 1, "one redelivery at most: {redelivered:?}");
    sender.no_outcome("it was confirmed already").await;
}

/// A queue keeps the messages that arrive while it has no consumer.
pub(super) async fn a_queue_keeps_what_comes_while_nobody_consumes(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let sent = numbered(&CREATED, 4);
    sender.publish(&sent).await;
    let mut worker = brokers.consumer(WORKER, 1, limits).await;
    assert_bodies(worker.take(4).await, numbers(0..4), capabilities.keeps_order);
    assert_eq!(sender.confirmed(4).await, ids(&sent));
}

/// If a publisher disconnects before it knows the outcomes, the messages can be published again: they are accepted,
/// delivered and confirmed.
pub(super) async fn a_publisher_that_goes_away_harms_nobody(kind: &dyn BrokerUnderTest) {
    let limits = kind.limits();
    let brokers = kind.fresh(&SERVICES).await;
    let mut worker = brokers.consumer(WORKER, 10, limits).await;
    let mut gone = brokers.publisher(SENDER, limits).await;
    let sent = numbered(&CREATED, 3);
    gone.publish(&sent).await;
    drop(gone);
    let mut sender = brokers.publisher(SENDER, limits).await;
    sender.publish(&sent).await;
    let bodies = worker.drain(3, &mut sender, 3).await;
    assert!(bodies.len() <= 6, "three messages were published twice: {bodies:?}");
    let different: BTreeSet<_> = bodies.into_iter().collect();
    assert_eq!(different, numbers(0..3).into_iter().collect());
}

/// A second consumer of a queue is refused or shares the queue. If it shares it, each message goes to one of the two,
/// and when one disconnects, its unacknowledged deliveries go to the other.
pub(super) async fn a_second_consumer_shares_the_queue_or_is_refused(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let first = brokers.consumer(WORKER, 2, limits).await;
    if capabilities.single_consumer {
        let second = limits.wait_for("the second consumer", brokers.of(WORKER).subscribe(1)).await;
        assert!(matches!(second, Err(BrokerError::AlreadyConsumed(_))), "the queue has a consumer already: {second:?}");
        drop(first);
        brokers.consumer(WORKER, 1, limits).await;
        return;
    }
    let (mut first, mut second) = (first, brokers.consumer(WORKER, 2, limits).await);
    let mut sender = brokers.publisher(SENDER, limits).await;
    sender.publish(&numbered(&CREATED, 4)).await;
    let ours = [first.next().await, first.next().await];
    let theirs = [second.next().await, second.next().await];
    let all: BTreeSet<_> = ours.iter().chain(&theirs).map(body_text).collect();
    assert_eq!(all, numbers(0..4).into_iter().collect(), "each message goes to one consumer");
    let lost: Vec<_> = theirs.iter().map(body_text).collect();
    drop((second, theirs));
    ours.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    assert_bodies(first.take(2).await, lost, false);
}
