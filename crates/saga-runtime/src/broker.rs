//! The broker's interface, as the engine and the relay use it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use saga_message::{MessageId, Route};
use tokio::sync::mpsc;

/// One service's connection to the broker.
///
/// What every implementation guarantees, and the conformance suite checks (when a broker counts as full is up to the
/// implementation):
/// - *at least once*: a delivery that is not acknowledged is delivered again, to this consumer or the next;
/// - *bounded*: a consumer has at most `prefetch` unacknowledged deliveries, and a publisher waits while the broker is
///   full;
/// - *confirmed*: [`PublishResult::Confirmed`] is sent only after the queue of *every* consumer of the message is
///   responsible for it, so that the publisher may delete it.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Opens a publisher. Its outcomes arrive on the receiver; both end together with the connection.
    ///
    /// # Errors
    /// If the broker is unreachable, or refuses this service.
    async fn publisher(&self) -> Result<Publication, BrokerError>;

    /// Consumes this service's queue until the connection ends, with at most `prefetch` unacknowledged deliveries.
    ///
    /// # Errors
    /// If the broker is unreachable, refuses this service, or allows one consumer and has one already.
    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError>;

    /// Consumes this service's messages that the broker itself has dead-lettered, until the connection ends. The reason
    /// is in [`Delivery::dead_lettered`]. Returns `None` if this broker never dead-letters.
    ///
    /// # Errors
    /// As for [`subscribe`](Self::subscribe).
    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError>;

    /// Returns the state of this service's queue as last reported by the broker, or `None` if it is unknown. It sends
    /// no request.
    fn queue(&self) -> Option<QueueStats> {
        None
    }

    /// Returns the name of the messaging system, for traces: the attribute `messaging.system`.
    fn messaging_system(&self) -> &'static str;

    /// Returns the name of what the messages of `route` are published to, for traces: the attribute
    /// `messaging.destination.name`.
    fn destination(&self, route: &Route) -> String {
        route.routing_key.to_owned()
    }

    /// Returns whether a message is confirmed only after its consumers have committed it. Then an orderly shutdown must
    /// keep consuming until the outboxes are empty.
    fn confirms_after_commit(&self) -> bool;
}

/// The state of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// How many messages wait in the queue, without those that are delivered and not acknowledged.
    pub ready: u64,
    /// How many consumers the queue has.
    pub consumers: u64,
}

/// An open publisher, and the receiver of its outcomes.
pub type Publication = (Box<dyn Publisher>, mpsc::UnboundedReceiver<Outcome>);

/// A consumer's deliveries, in the order of the queue, except for redelivered ones. The channel ends if the connection
/// is lost.
pub type Subscription = mpsc::Receiver<Delivery>;

/// Publishes messages through the broker.
#[async_trait]
pub trait Publisher: Send {
    /// Sends the messages, and waits while the broker is full. The [`Outcome`] of each message follows later.
    ///
    /// # Errors
    /// If the connection was lost. Then some of the messages may have been published.
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError>;
}

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The message's id; it stays the same if the message is published again.
    pub message_id: MessageId,
    /// The publisher, the consumers that must receive it, and the routing key for listeners.
    pub route: &'static Route,
    /// The saga that its events belong to; `None` if there are several.
    pub correlation_id: Option<uuid::Uuid>,
    /// How many events it carries.
    pub events: usize,
    /// The encoded event, or the array of them ([`framing`](saga_message::framing)).
    pub body: Arc<str>,
}

/// The result of publishing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The message's id.
    pub message_id: MessageId,
    /// Whether every consumer's queue has it.
    pub result: PublishResult,
}

/// What the broker reported about a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishResult {
    /// The queue of every consumer is responsible for the message; see [`Broker`].
    Confirmed,
    /// The queues of these consumers are missing or not bound, so these consumers do not get the message. The others
    /// may have it, and get it again when it is published again.
    Unroutable(Vec<String>),
    /// The broker did not accept it, or not for every consumer.
    Refused,
}

/// A message received from the broker. If it is dropped without an acknowledgement, it is delivered again.
#[derive(Debug)]
pub struct Delivery {
    /// The message's body.
    pub body: Arc<[u8]>,
    /// The message id in the broker's properties, if any; available even if the body cannot be decoded.
    pub message_id: Option<String>,
    /// How often it was delivered before, as far as the broker knows.
    pub redeliveries: u32,
    /// Why, where and how often the broker dead-lettered it, as text. `None` for an ordinary delivery.
    pub dead_lettered: Option<String>,
    /// The handle for acknowledging it.
    pub receipt: Receipt,
}

/// The handle for acknowledging one delivery, once. Dropping it returns the delivery to the queue.
#[derive(Debug)]
pub struct Receipt {
    tag: u64,
    settle: Option<mpsc::UnboundedSender<Settlement>>,
}

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The delivery's tag.
    pub tag: u64,
    /// Whether it was acknowledged, because its effects are durable, or returned to the queue.
    pub acknowledged: bool,
}

impl Receipt {
    /// Creates a receipt for the delivery `tag`, which is settled through `settle`.
    #[must_use]
    pub fn new(tag: u64, settle: mpsc::UnboundedSender<Settlement>) -> Self {
        Self { tag, settle: Some(settle) }
    }

    /// Acknowledges the delivery, because its effects are durable. (If the connection is lost, the broker delivers it
    /// again, and the inbox drops it.)
    pub fn acknowledge(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, acknowledged: bool) {
        if let Some(settle) = self.settle.take() {
            let _ = settle.send(Settlement { tag: self.tag, acknowledged });
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(false);
    }
}

/// Why the broker cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It is unreachable, or the connection was lost. This may be temporary.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// It answers, but this service cannot use it as it is. That does not change until an operator repairs it.
    #[error("the broker {broker} cannot be used: {wrong}; {remedy}")]
    Unusable {
        /// The broker's address, without the password.
        broker: String,
        /// What is wrong.
        wrong: String,
        /// How to repair it.
        remedy: String,
    },
    /// The queue already has a consumer, and only one is allowed.
    #[error("the queue of {0} already has a consumer")]
    AlreadyConsumed(String),
}

impl BrokerError {
    /// Returns a reason that may be shown in a health check: it contains no address, user or vhost. The full error is
    /// in the log.
    #[must_use]
    pub fn public_reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "it cannot be reached; see the log",
            Self::Unusable { .. } => "it refuses this service, or lacks what this service needs; see the log",
            Self::AlreadyConsumed(_) => "the queue has another consumer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_read_tells_no_address() {
        let address = "amqp://order@rabbit.internal:5672/orders";
        for error in [
            BrokerError::Unreachable(format!("{address}: connection refused")),
            BrokerError::Unusable {
                broker: address.to_owned(),
                wrong: "NOT_ALLOWED - vhost 'orders' not found".to_owned(),
                remedy: "check the vhost in AMQP_URL".to_owned(),
            },
            BrokerError::AlreadyConsumed("order".to_owned()),
        ] {
            // If a variant is added, it must be added to this list too.
            match &error {
                BrokerError::Unreachable(_) | BrokerError::Unusable { .. } | BrokerError::AlreadyConsumed(_) => {}
            }
            let public = error.public_reason();
            for secret in ["order", "rabbit", "5672", "amqp", "://", "vhost '", "AMQP_URL", "127.0.0.1"] {
                assert!(!public.contains(secret), "{secret}: {public}");
            }
        }
    }
}
