//! The broker, behind one trait: what the engine and the relay know of it, and no more.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use saga_message::{MessageId, Route};
use tokio::sync::mpsc;

/// One service's connection to the broker.
///
/// What every implementation promises, and the conformance suite holds it to (when it is full is each one's own):
/// - *at least once*: a delivery that is not acknowledged is delivered again, to this consumer or the next;
/// - *bounded*: a consumer holds at most `prefetch` unacknowledged deliveries, and a publisher waits while the broker is full;
/// - *confirmed*: [`PublishResult::Confirmed`] comes only once the queue of *every* consumer of the message answers for it,
///   so that the publisher may forget it.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Opens a publisher. Its outcomes come in on the receiver; both end together when the connection does.
    async fn publisher(&self) -> Result<Publication, BrokerError>;

    /// Consumes this service's queue, until the connection ends.
    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError>;

    /// Consumes the messages of this service's queue that the broker gave up on, until the connection ends; each says why in
    /// [`Delivery::dead_lettered`]. `None` where this broker never gives up.
    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError>;

    /// How this service's queue stands, as the broker last said. It asks nobody; `None`: it is not known.
    fn queue(&self) -> Option<QueueStats> {
        None
    }

    /// Whether a message is confirmed only once its consumers have committed it, so that an orderly end has to keep
    /// consuming until the outboxes are empty.
    fn confirms_after_commit(&self) -> bool;
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// How many messages wait in it, those not counted that a consumer has and has not acknowledged.
    pub ready: u64,
    /// How many consumers it has.
    pub consumers: u64,
}

/// An open publisher, and where its outcomes come in.
pub type Publication = (Box<dyn Publisher>, mpsc::UnboundedReceiver<Outcome>);

/// Deliveries, in the queue's order but for those that come again; it ends when the connection is lost.
pub type Subscription = mpsc::Receiver<Delivery>;

/// Hands messages to the broker.
#[async_trait]
pub trait Publisher: Send {
    /// Returns when the messages are handed over; each one's [`Outcome`] follows. It waits while the broker is full.
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError>;
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id, which a redelivery keeps.
    pub message_id: MessageId,
    /// Who publishes it, whose queues must have it, and what listeners bind to.
    pub route: &'static Route,
    /// The saga that it belongs to.
    pub correlation_id: uuid::Uuid,
    /// The envelope, encoded.
    pub body: Arc<str>,
}

/// What became of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which message.
    pub message_id: MessageId,
    /// What became of it.
    pub result: PublishResult,
}

/// What the broker says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishResult {
    /// The queue of every consumer has it for good.
    Confirmed,
    /// The queues of these consumers are not bound, so they do not have it. The others may have it, and get it again when
    /// it is published again.
    Unroutable(Vec<String>),
    /// The broker did not take it, or not for every consumer.
    Refused,
}

/// A message on its way in. Dropped without an acknowledgement, it is delivered again.
#[derive(Debug)]
pub struct Delivery {
    /// The message's body.
    pub body: Arc<[u8]>,
    /// The id that the broker knows it by, where it has one: also for a body that cannot be read.
    pub message_id: Option<String>,
    /// How often it was delivered before, as far as the broker knows.
    pub redeliveries: u32,
    /// In words, why the broker gave up on it, where, and how often. `None`: it did not, and this is an ordinary delivery.
    pub dead_lettered: Option<String>,
    /// The right to acknowledge it.
    pub receipt: Receipt,
}

/// The right to acknowledge one delivery, once. Dropping it gives the delivery back.
#[derive(Debug)]
pub struct Receipt {
    tag: u64,
    settle: Option<mpsc::UnboundedSender<Settlement>>,
}

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Which delivery.
    pub tag: u64,
    /// Handled and durable; otherwise given back.
    pub acknowledged: bool,
}

impl Receipt {
    /// A receipt for the delivery `tag`, settled through `settle`.
    #[must_use]
    pub fn new(tag: u64, settle: mpsc::UnboundedSender<Settlement>) -> Self {
        Self { tag, settle: Some(settle) }
    }

    /// The delivery's effects are durable: the broker may forget it. (Where the connection is gone, the broker delivers it
    /// again and the inbox drops it.)
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
    /// It cannot be reached, or the connection was lost. That may pass by itself.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// It answers, but not as this service needs it. That stays so until somebody does something.
    #[error("the broker {broker} cannot be used: {wrong}; {remedy}")]
    Unusable {
        /// Its address, without the password.
        broker: String,
        /// What is wrong.
        wrong: String,
        /// What to do about it.
        remedy: String,
    },
    /// Somebody else consumes where only one may.
    #[error("the queue of {0} already has a consumer")]
    Taken(String),
}

impl BrokerError {
    /// The same for whoever asks for the service's health: no address, user or vhost. The log has the whole.
    #[must_use]
    pub fn public_reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "it cannot be reached; the log says more",
            Self::Unusable { .. } => {
                "it answers, and refuses this service or lacks what it needs; the log says what to do"
            }
            Self::Taken(_) => "the queue has another consumer",
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
            BrokerError::Taken("order".to_owned()),
        ] {
            // A new variant belongs into this list.
            match &error {
                BrokerError::Unreachable(_) | BrokerError::Unusable { .. } | BrokerError::Taken(_) => {}
            }
            let public = error.public_reason();
            for secret in ["order", "rabbit", "5672", "amqp", "://", "vhost '", "AMQP_URL", "127.0.0.1"] {
                assert!(!public.contains(secret), "{secret}: {public}");
            }
        }
    }
}
