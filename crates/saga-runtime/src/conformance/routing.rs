//! Which queues get a message, and when it is confirmed.

use super::{
    AUDITOR, BrokerUnderTest, CANCELLED, CREATED, DONE, ROUTES, SENDER, SERVICES, TestPublisher, WORKER, body_text,
    message, suite::assert_bodies, system::services,
};
use crate::broker::{Outcome, Outgoing, PublishResult};

/// A confirmed message is in the queue of each of its consumers, and each of them acknowledges its own copy.
pub(super) async fn a_confirmed_message_is_in_every_queue(kind: &dyn BrokerUnderTest) {
    let limits = kind.limits();
    let brokers = kind.fresh(&SERVICES).await;
    let mut sender = brokers.consumer(SENDER, 10, limits).await;
    let mut auditor = brokers.consumer(AUDITOR, 10, limits).await;
    let mut worker = brokers.publisher(WORKER, limits).await;
    let sent = message(&DONE, "for both");
    worker.publish(std::slice::from_ref(&sent)).await;
    // The acknowledgement of one consumer has no effect on the other.
    assert_eq!(sender.take(1).await, ["for both"]);
    drop(auditor.next().await);
    assert_eq!(auditor.take(1).await, ["for both"]);
    assert_eq!(worker.confirmed(1).await, [sent.message_id]);
    sender.no_delivery("it is acknowledged").await;
    auditor.no_delivery("it is acknowledged").await;
}

/// A message whose consumer has no queue is not confirmed; one without consumers is.
pub(super) async fn a_message_whose_queue_is_missing_is_not_confirmed(kind: &dyn BrokerUnderTest) {
    let brokers = kind.fresh(&services(&[SENDER, AUDITOR])).await;
    let mut sender = brokers.publisher(SENDER, kind.limits()).await;
    let created = message(&CREATED, "for the worker, who has no queue");
    let cancelled = message(&CANCELLED, "for whoever listens");
    sender.publish(&[cancelled.clone(), created.clone()]).await;
    if kind.capabilities().reports_unroutable {
        let mut outcomes = [sender.next_outcome().await, sender.next_outcome().await];
        outcomes.sort_by_key(|outcome| outcome.message_id != created.message_id);
        let expected = [(&created, unroutable(WORKER)), (&cancelled, PublishResult::Confirmed)];
        assert_eq!(
            outcomes,
            expected.map(|(message, result)| Outcome { message_id: message.message_id, result }),
            "the queue of the worker is missing, and the other message needs none"
        );
    } else {
        not_confirmed(&mut sender, &created, Some(&cancelled)).await;
    }
}

/// A message for two services, one of which has no queue, is confirmed only when it is published again once both queues
/// exist.
pub(super) async fn a_message_that_one_of_two_queues_misses_is_not_confirmed(kind: &dyn BrokerUnderTest) {
    let limits = kind.limits();
    let brokers = kind.fresh(&services(&[SENDER, WORKER])).await;
    let mut worker = brokers.publisher(WORKER, limits).await;
    let sent = message(&DONE, "for both");
    worker.publish(std::slice::from_ref(&sent)).await;
    if kind.capabilities().reports_unroutable {
        let expected = Outcome { message_id: sent.message_id, result: unroutable(AUDITOR) };
        assert_eq!(worker.next_outcome().await, expected, "the queue of the auditor is missing");
    } else {
        not_confirmed(&mut worker, &sent, None).await;
    }
    drop(worker);

    let brokers = kind.with_all_queues(brokers).await;
    let mut sender = brokers.consumer(SENDER, 10, limits).await;
    let mut auditor = brokers.consumer(AUDITOR, 10, limits).await;
    let mut worker = brokers.publisher(WORKER, limits).await;
    worker.publish(std::slice::from_ref(&sent)).await;
    assert_eq!(auditor.take(1).await, ["for both"]);
    assert_eq!(sender.take(1).await, ["for both"]);
    // The service whose queue existed may receive it twice; it recognizes the duplicate by its id.
    assert!(sender.take_rest().await.iter().all(|body| body == "for both"), "nothing else was published");
    assert_eq!(worker.confirmed(1).await, [sent.message_id]);
    auditor.no_delivery("it was published once for the auditor").await;
}

/// Each queue gets the messages whose routes name its service, and no others.
pub(super) async fn each_queue_gets_what_its_routes_say(kind: &dyn BrokerUnderTest) {
    let (capabilities, limits) = (kind.capabilities(), kind.limits());
    let brokers = kind.fresh(&SERVICES).await;
    let mut publishers = Vec::new();
    for service in SERVICES {
        let mut publisher = brokers.publisher(service.name, limits).await;
        let own = ROUTES.iter().filter(|route| route.publisher == service.name);
        publisher.publish(&own.map(|route| message(route, route.routing_key)).collect::<Vec<_>>()).await;
        publishers.push(publisher);
    }
    for service in SERVICES {
        let expected: Vec<String> = SERVICES
            .iter()
            .flat_map(|publisher| ROUTES.iter().filter(|route| route.publisher == publisher.name))
            .filter(|route| route.consumers.contains(&service.name))
            .map(|route| route.routing_key.to_owned())
            .collect();
        let mut consumer = brokers.consumer(service.name, 20, limits).await;
        let mut bodies = consumer.take(expected.len()).await;
        // The messages of one publisher arrive in order; the order of the publishers is arbitrary.
        bodies.sort_by_key(|body| {
            let route = ROUTES.iter().find(|route| route.routing_key == body);
            SERVICES.iter().position(|service| route.is_some_and(|route| route.publisher == service.name))
        });
        assert_bodies(bodies, expected, capabilities.keeps_order);
        consumer.no_delivery("no other route names this service").await;
    }
}

/// If [`Broker::confirms_after_commit`](crate::broker::Broker::confirms_after_commit) is true, a message is confirmed
/// only when all of its consumers have acknowledged it; otherwise, without any acknowledgement.
pub(super) async fn confirmations_come_when_the_broker_says(kind: &dyn BrokerUnderTest) {
    let limits = kind.limits();
    let brokers = kind.fresh(&SERVICES).await;
    let mut worker = brokers.publisher(WORKER, limits).await;
    let sent = message(&DONE, "for both");
    worker.publish(std::slice::from_ref(&sent)).await;
    if !brokers.of(WORKER).confirms_after_commit() {
        assert_eq!(worker.confirmed(1).await, [sent.message_id], "nobody consumes, and it is confirmed");
        return;
    }
    let mut sender = brokers.consumer(SENDER, 10, limits).await;
    let mut auditor = brokers.consumer(AUDITOR, 10, limits).await;
    let (first, second) = (sender.next().await, auditor.next().await);
    assert_eq!((body_text(&first).as_str(), body_text(&second).as_str()), ("for both", "for both"));
    worker.no_outcome("neither consumer has acknowledged it").await;
    first.receipt.acknowledge();
    worker.no_outcome("one of two consumers has not acknowledged it").await;
    second.receipt.acknowledge();
    assert_eq!(worker.confirmed(1).await, [sent.message_id]);
}

fn unroutable(service: &str) -> PublishResult {
    PublishResult::Unroutable(vec![service.to_owned()])
}

/// Checks that the broker does not confirm `refused`, whether it reports another outcome or none, and confirms `other`.
async fn not_confirmed(publisher: &mut TestPublisher, refused: &Outgoing, other: Option<&Outgoing>) {
    if let Some(other) = other {
        let outcome = publisher.next_outcome().await;
        if outcome.message_id == refused.message_id {
            assert_ne!(outcome.result, PublishResult::Confirmed, "a queue is missing");
            assert_eq!(publisher.confirmed(1).await, [other.message_id]);
            return;
        }
        assert_eq!(outcome.result, PublishResult::Confirmed, "this message needs no queue");
    }
    if let Some(outcome) = publisher.outcome_for_a_while().await {
        assert_ne!(outcome.result, PublishResult::Confirmed, "a queue is missing");
    }
}
