//! What a consumer receives, and how often.

use super::{
    BrokerUnderTest, CREATED, SENDER, SERVICES, WORKER, body_text, ids, message, numbered, suite::assert_bodies,
    system::numbers,
};

/// A delivery that is dropped without an acknowledgement is delivered again; one that is acknowledged is not.
pub(super) async fn a_dropped_delivery_comes_again(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut worker = brokers.consumer(WORKER, 10, limits).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let sent = message(&CREATED, "body");
    sender.publish(std::slice::from_ref(&sent)).await;
    for redeliveries in 0..3 {
        let delivery = worker.next().await;
        assert_eq!(body_text(&delivery), "body");
        assert_eq!(delivery.dead_lettered, None, "the broker did not give up on it");
        if capabilities.counts_redeliveries {
            assert_eq!(delivery.redeliveries, redeliveries, "how often the message was delivered before");
        }
        let (id, expected) = (delivery.message_id.as_deref(), sent.message_id.to_string());
        let may_be_missing = !capabilities.keeps_message_ids && id.is_none();
        assert!(may_be_missing || id == Some(&expected), "the message {expected} came with the id {id:?}");
        drop(delivery);
    }
    worker.next().await.receipt.acknowledge();
    worker.no_delivery("what is acknowledged does not come again").await;
    assert_eq!(sender.confirmed(1).await, [sent.message_id]);
}

/// A consumer holds no more unacknowledged deliveries than its prefetch.
pub(super) async fn a_consumer_holds_no_more_than_its_prefetch(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let count = capabilities.queue_capacity.unwrap_or(10).min(10);
    sender.publish(&numbered(&CREATED, count)).await;
    let mut worker = brokers.consumer(WORKER, 2, limits).await;
    let mut held = vec![worker.next().await, worker.next().await];
    worker.no_delivery("a consumer with a prefetch of 2 holds 2 deliveries").await;
    held.remove(1).receipt.acknowledge();
    held.push(worker.next().await);
    worker.no_delivery("it held 2 and acknowledged 1, so 1 more may come").await;
    if capabilities.keeps_order {
        assert_eq!(held.iter().map(body_text).collect::<Vec<_>>(), ["0", "2"], "in the order of publishing");
    }
}

/// Messages of one publisher arrive in the order of publishing, even if the consumer is slower than the publisher.
pub(super) async fn order_is_kept(kind: &dyn BrokerUnderTest) {
    const COUNT: usize = 500;
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut worker = brokers.consumer(WORKER, 7, limits).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let sent = numbered(&CREATED, COUNT);
    let publishing = async {
        for some in sent.chunks(33) {
            sender.publish(some).await;
        }
    };
    let ((), bodies) = tokio::join!(publishing, worker.take(COUNT));
    assert_bodies(bodies, numbers(0..COUNT), capabilities.keeps_order);
    assert_eq!(sender.confirmed(COUNT).await, ids(&sent));
}

/// A publisher waits while a queue is full, and continues when there is room; nothing is lost.
pub(super) async fn a_full_queue_makes_publishers_wait(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.publisher(SENDER, limits).await;
    let Some(capacity) = capabilities.queue_capacity else {
        let sent = numbered(&CREATED, 1_000);
        sender.publish(&sent).await;
        let mut worker = brokers.consumer(WORKER, 100, limits).await;
        assert_bodies(worker.take(sent.len()).await, numbers(0..sent.len()), capabilities.keeps_order);
        assert_eq!(sender.confirmed(sent.len()).await, ids(&sent));
        return;
    };
    let sent = numbered(&CREATED, 3 * capacity);
    let (first, rest) = sent.split_at(capacity);
    sender.publish(first).await;
    let rest = rest.to_vec();
    let mut publishing = tokio::spawn(async move {
        sender.publish(&rest).await;
        sender
    });
    limits.stays_pending("a publisher waits while the queue is full", &mut publishing).await;
    let mut worker = brokers.consumer(WORKER, 2, limits).await;
    let held = [worker.next().await, worker.next().await];
    limits.stays_pending("what is delivered and not acknowledged takes its room", &mut publishing).await;
    let mut bodies: Vec<_> = held.iter().map(body_text).collect();
    held.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    bodies.extend(worker.take(sent.len() - 2).await);
    assert_bodies(bodies, numbers(0..sent.len()), capabilities.keeps_order);
    let published = limits.wait_for("the publisher to go on", publishing).await;
    let mut sender = published.expect("publishing does not panic: there is room");
    assert_eq!(sender.confirmed(sent.len()).await, ids(&sent));
}

/// A message that is dropped too often is dead-lettered, with a reason. A broker without dead letters delivers it again
/// without end.
pub(super) async fn dead_letters_come_when_the_broker_says(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut worker = brokers.consumer(WORKER, 10, limits).await;
    let dead_letters = limits.wait_for("the dead letters", brokers.of(WORKER).dead_letters(10)).await;
    let dead_letters = dead_letters.unwrap_or_else(|error| panic!("the dead letters cannot be consumed: {error}"));
    let mut sender = brokers.publisher(SENDER, limits).await;
    sender.publish(&[message(&CREATED, "body")]).await;
    let Some(redeliveries) = capabilities.dead_letters_after else {
        assert!(dead_letters.is_none(), "a broker that gives up on nothing has no dead letters");
        for _ in 0..200 {
            assert_eq!(body_text(&worker.next().await), "body", "it comes again, however often it is dropped");
        }
        return;
    };
    let dead_letters = dead_letters.expect("a broker that gives up on messages has dead letters");
    let mut dead_letters = super::TestConsumer::from_subscription(dead_letters, limits);
    for _ in 0..=redeliveries {
        assert_eq!(worker.next().await.dead_lettered, None, "this is an ordinary delivery");
    }
    for _ in 0..2 {
        let dead_letter = dead_letters.next().await;
        assert_eq!(body_text(&dead_letter), "body");
        assert!(dead_letter.dead_lettered.is_some(), "a dead letter says why the broker gave up on it");
        // The first one is dropped without an acknowledgement, so it is delivered again, as a dead letter.
    }
    assert_eq!(dead_letters.take(1).await, ["body"]);
    dead_letters.no_delivery("what is acknowledged does not come again").await;
    worker.no_delivery("a dead letter is no ordinary delivery any more").await;
}
