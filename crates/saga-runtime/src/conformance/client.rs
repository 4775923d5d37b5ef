//! A publisher and a consumer whose methods panic if a promise is broken.

use std::collections::BTreeSet;

use saga_message::MessageId;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use super::TimeLimits;
use crate::broker::{Broker, BrokerError, Delivery, Outcome, Outgoing, PublishResult, Publisher, Subscription};

/// An open publisher and its outcomes.
pub struct TestPublisher {
    publisher: Box<dyn Publisher>,
    outcomes: UnboundedReceiver<Outcome>,
    limits: TimeLimits,
}

impl TestPublisher {
    /// Opens a publisher.
    ///
    /// # Panics
    /// If the broker cannot be used, or does not answer in time.
    pub async fn open(broker: &dyn Broker, limits: TimeLimits) -> Self {
        let opened = limits.wait_for("a publisher", broker.publisher()).await;
        let (publisher, outcomes) = opened.unwrap_or_else(|error| panic!("no publisher: {error}"));
        Self { publisher, outcomes, limits }
    }

    /// Publishes these messages, and does not wait for their outcomes.
    ///
    /// # Panics
    /// If the broker does not accept them in time.
    pub async fn publish(&mut self, messages: &[Outgoing]) {
        let published = self.publisher.publish(messages.to_vec());
        let published = self.limits.wait_for("the broker to take the messages", published).await;
        published.unwrap_or_else(|error| panic!("the broker does not take the messages: {error}"));
    }

    /// Waits for the next outcome.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn next_outcome(&mut self) -> Outcome {
        let outcome = self.limits.wait_for("the outcome of a message", self.outcomes.recv()).await;
        outcome.expect("outcomes come for as long as their publisher is open")
    }

    /// Waits for `count` outcomes, all of which have to be confirmations. Returns the ids of the messages, sorted.
    ///
    /// # Panics
    /// If another outcome arrives, or fewer arrive in time.
    pub async fn confirmed(&mut self, count: usize) -> Vec<MessageId> {
        let mut confirmed = Vec::new();
        while confirmed.len() < count {
            let Outcome { message_id, result } = self.next_outcome().await;
            assert_eq!(result, PublishResult::Confirmed, "the message {message_id} has to be confirmed");
            confirmed.push(message_id);
        }
        confirmed.sort();
        confirmed
    }

    /// Checks that no outcome arrives within [`TimeLimits::quiet`].
    ///
    /// # Panics
    /// If one arrives. `why` is the start of the message: why none may arrive.
    pub async fn no_outcome(&mut self, why: &str) {
        if let Ok(outcome) = timeout(self.limits.quiet, self.outcomes.recv()).await {
            panic!("{why}, but its outcome is {outcome:?}");
        }
    }

    /// Returns the next outcome, if one arrives within [`TimeLimits::quiet`].
    pub async fn outcome_for_a_while(&mut self) -> Option<Outcome> {
        timeout(self.limits.quiet, self.outcomes.recv()).await.ok().flatten()
    }

    /// Returns the publisher and the receiver of its outcomes.
    #[must_use]
    pub fn into_parts(self) -> (Box<dyn Publisher>, UnboundedReceiver<Outcome>) {
        (self.publisher, self.outcomes)
    }
}

/// An open consumer of a queue.
#[derive(Debug)]
pub struct TestConsumer {
    deliveries: Subscription,
    limits: TimeLimits,
}

impl TestConsumer {
    /// Consumes a service's queue. If the queue still has a consumer and allows only one, waits until that has ended.
    ///
    /// # Panics
    /// If the broker cannot be used, or the other consumer does not end in time.
    pub async fn open(broker: &dyn Broker, prefetch: usize, limits: TimeLimits) -> Self {
        let subscribing = async {
            loop {
                match broker.subscribe(prefetch).await {
                    Ok(deliveries) => return deliveries,
                    Err(BrokerError::AlreadyConsumed(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("the queue cannot be consumed: {error}"),
                }
            }
        };
        Self::from_subscription(limits.wait_for("the queue to have no other consumer", subscribing).await, limits)
    }

    /// Consumes from an open subscription.
    #[must_use]
    pub fn from_subscription(deliveries: Subscription, limits: TimeLimits) -> Self {
        Self { deliveries, limits }
    }

    /// Waits for the next delivery.
    ///
    /// # Panics
    /// If none arrives in time.
    pub async fn next(&mut self) -> Delivery {
        let delivery = self.limits.wait_for("a delivery", self.deliveries.recv()).await;
        delivery.expect("deliveries come for as long as their consumer is open")
    }

    /// Acknowledges the next `count` deliveries, and returns their bodies.
    ///
    /// # Panics
    /// If fewer arrive in time.
    pub async fn take(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(acknowledged(self.next().await));
        }
        bodies
    }

    /// Acknowledges deliveries until none arrives within [`TimeLimits::quiet`], and returns their bodies.
    pub async fn take_rest(&mut self) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Ok(Some(delivery)) = timeout(self.limits.quiet, self.deliveries.recv()).await {
            bodies.push(acknowledged(delivery));
        }
        bodies
    }

    /// Checks that nothing is delivered within [`TimeLimits::quiet`].
    ///
    /// # Panics
    /// If something is delivered. `why` is the start of the message: why nothing may be.
    pub async fn no_delivery(&mut self, why: &str) {
        if let Ok(delivery) = timeout(self.limits.quiet, self.deliveries.recv()).await {
            panic!("{why}, but this was delivered: {delivery:?}");
        }
    }

    /// Acknowledges all deliveries until `different` different bodies have arrived, `unconfirmed` messages of
    /// `publisher` are confirmed, and no more deliveries arrive. Returns the bodies.
    ///
    /// # Panics
    /// If that is not reached in time, or a message is not confirmed.
    pub async fn drain(
        &mut self,
        different: usize,
        publisher: &mut TestPublisher,
        mut unconfirmed: usize,
    ) -> Vec<String> {
        let (limits, mut bodies) = (self.limits, Vec::new());
        let drained = async {
            while unconfirmed > 0 || bodies.iter().collect::<BTreeSet<_>>().len() < different {
                tokio::select! {
                    delivery = self.deliveries.recv() => {
                        bodies.push(acknowledged(delivery.expect("deliveries come while the consumer is open")));
                    }
                    outcome = publisher.outcomes.recv(), if unconfirmed > 0 => {
                        let outcome = outcome.expect("outcomes come while the publisher is open");
                        assert_eq!(outcome.result, PublishResult::Confirmed, "{}", outcome.message_id);
                        unconfirmed -= 1;
                    }
                }
            }
        };
        limits.wait_for("all to be confirmed and delivered", drained).await;
        bodies.extend(self.take_rest().await);
        bodies
    }
}

fn acknowledged(delivery: Delivery) -> String {
    let body = body_text(&delivery);
    delivery.receipt.acknowledge();
    body
}

/// Returns the body of a delivery as text.
///
/// # Panics
/// If it is not UTF-8; the suite publishes only UTF-8.
#[must_use]
pub fn body_text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).expect("a body comes as it was published, in UTF-8")
}

/// Returns the ids of these messages.
#[must_use]
pub fn ids(messages: &[Outgoing]) -> Vec<MessageId> {
    messages.iter().map(|message| message.message_id).collect()
}
