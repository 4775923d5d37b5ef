use std::sync::Arc;

use saga_runtime::broker::{Broker, Outcome, Outgoing, PublishResult, Publisher};
use shared_events::{Envelope, EventBody, EventType, MessageId, framing};
use tokio::{sync::mpsc, task::JoinSet};

use super::{caused_by, outgoing, within_timeout};

/// Another service, played by the test. It publishes what the test passes to it, acknowledges all that it receives, and
/// keeps the messages for the test.
pub struct Peer {
    broker: Arc<dyn Broker>,
    publisher: Box<dyn Publisher>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    /// The messages that were committed and that [`Peer::committed`] has not waited for yet, once for each publication.
    committed: Vec<MessageId>,
    sender: mpsc::UnboundedSender<Envelope>,
    received: mpsc::UnboundedReceiver<Envelope>,
    consumer: JoinSet<()>,
}

impl Peer {
    /// Connects a peer that publishes, and does not consume yet.
    pub(super) async fn connect(broker: Arc<dyn Broker>) -> Self {
        let (publisher, outcomes) = broker.publisher().await.unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        Self { broker, publisher, outcomes, committed: Vec::new(), sender, received, consumer: JoinSet::new() }
    }

    /// Begins to consume, and keeps all messages.
    pub async fn consume(&mut self) {
        self.consume_if(|_| true).await;
    }

    /// Begins to consume, and keeps the messages that `keep` selects.
    pub async fn consume_if(&mut self, mut keep: impl FnMut(&Envelope) -> bool + Send + 'static) {
        let mut deliveries = self.broker.subscribe(64).await.unwrap();
        let sender = self.sender.clone();
        self.consumer.spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                // What is not an event was published by the test itself, and is dropped.
                let events = framing::split(&delivery.body).unwrap_or_default();
                for envelope in events.into_iter().filter_map(|event| Envelope::decode(event).ok()).filter(&mut keep) {
                    let _ = sender.send(envelope);
                }
                delivery.receipt.acknowledge();
            }
        });
    }

    /// Waits for the next message, which has to be an event of this type.
    pub async fn receive(&mut self, event: EventType) -> Envelope {
        let envelope = self.receive_any().await;
        assert_eq!(envelope.event.body.event_type(), event, "{envelope:?}");
        envelope
    }

    /// Waits for the next message of this type about this order; those before it are dropped.
    pub async fn receive_about(&mut self, order_id: i64, event: EventType) -> Envelope {
        loop {
            let envelope = self.receive_any().await;
            if envelope.event.body.event_type() == event && envelope.event.order.order_id.0 == order_id {
                return envelope;
            }
        }
    }

    /// Waits for the next message.
    pub async fn receive_any(&mut self) -> Envelope {
        within_timeout("a message", self.received.recv()).await.unwrap()
    }

    /// Takes the messages that have been received until now.
    pub fn received(&mut self) -> Vec<Envelope> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }

    /// Like [`received`](Self::received), without the envelopes.
    pub fn received_bodies(&mut self) -> Vec<EventBody> {
        self.received().into_iter().map(|envelope| envelope.event.body).collect()
    }

    /// Publishes this event of the order that `cause` is about, and waits until its consumers have committed it.
    pub async fn publish(&mut self, cause: &Envelope, body: EventBody) -> Envelope {
        let envelope = caused_by(cause, body);
        self.publish_all([&envelope]).await;
        envelope
    }

    /// Publishes these messages together, and waits until their consumers have committed all of them.
    pub async fn publish_all(&mut self, envelopes: impl IntoIterator<Item = &Envelope>) {
        self.publish_raw(envelopes.into_iter().map(outgoing).collect()).await;
    }

    /// Like [`publish_all`](Self::publish_all), for bodies that need not be events.
    pub async fn publish_raw(&mut self, messages: Vec<Outgoing>) {
        let ids: Vec<_> = messages.iter().map(|message| message.message_id).collect();
        self.hand_over(messages).await;
        for id in ids {
            self.committed(id).await;
        }
    }

    /// Publishes these messages, and does not wait for their consumers.
    pub async fn hand_over(&mut self, messages: Vec<Outgoing>) {
        within_timeout("room in the queues", self.publisher.publish(messages)).await.unwrap();
    }

    /// Waits until the consumers of this message have committed it, after [`hand_over`](Self::hand_over).
    pub async fn committed(&mut self, id: MessageId) {
        loop {
            if let Some(index) = self.committed.iter().position(|committed| *committed == id) {
                self.committed.swap_remove(index);
                return;
            }
            let outcome = within_timeout("a confirmation", self.outcomes.recv()).await.unwrap();
            assert_eq!(outcome.result, PublishResult::Confirmed);
            self.committed.push(outcome.message_id);
        }
    }
}
