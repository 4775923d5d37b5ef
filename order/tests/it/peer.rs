//! Inventory and payment, played by the test.

use std::{future::Future, sync::Arc, time::Duration};

use saga_database::Clock;
use saga_runtime::{broker::Broker, broker::Outcome, broker::Outgoing, broker::PublishResult, broker::Publisher};
use shared_events::{Envelope, Event, EventBody, EventType, Header, MessageId};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use uuid::Uuid;

/// Far longer than anything takes that works.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What `future` gives, unless it takes for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Another service: it acknowledges all that it hears, keeps it for the test, and says what the test wants said.
pub(crate) struct Neighbour {
    broker: Arc<dyn Broker>,
    publisher: Box<dyn Publisher>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    note: mpsc::UnboundedSender<Envelope>,
    heard: mpsc::UnboundedReceiver<Envelope>,
    listener: JoinSet<()>,
}

impl Neighbour {
    pub(crate) async fn deaf(broker: Arc<dyn Broker>) -> Self {
        let (publisher, outcomes) = broker.publisher().await.unwrap();
        let (note, heard) = mpsc::unbounded_channel();
        Self { broker, publisher, outcomes, note, heard, listener: JoinSet::new() }
    }

    pub(crate) async fn listen(&mut self) {
        let mut deliveries = self.broker.subscribe(64).await.unwrap();
        let note = self.note.clone();
        self.listener.spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                // What it cannot read is not for the test.
                if let Ok(envelope) = Envelope::decode(&delivery.body) {
                    let _ = note.send(envelope);
                }
                delivery.receipt.acknowledge();
            }
        });
    }

    /// The next event that it hears, which is of this type.
    pub(crate) async fn hear(&mut self, event: EventType) -> Envelope {
        let envelope = soon("an event", self.heard.recv()).await.unwrap();
        assert_eq!(envelope.event.body.event_type(), event);
        envelope
    }

    /// The event of this type about the order of this number, whatever it hears before.
    pub(crate) async fn hear_of(&mut self, order: i64, event: EventType) -> Envelope {
        loop {
            let envelope = soon("an event", self.heard.recv()).await.unwrap();
            if envelope.event.body.event_type() == event && envelope.event.order.order_id.0 == order {
                return envelope;
            }
        }
    }

    /// What it has heard until now.
    pub(crate) fn heard(&mut self) -> Vec<EventBody> {
        let mut bodies = Vec::new();
        while let Ok(envelope) = self.heard.try_recv() {
            bodies.push(envelope.event.body);
        }
        bodies
    }

    /// Says this of the order that `about` is about, and returns once the order service has committed it.
    pub(crate) async fn say(&mut self, about: &Envelope, body: EventBody) -> Envelope {
        let envelope = saying(about, body);
        self.repeat(&[&envelope]).await;
        envelope
    }

    /// Says these in one breath, and returns once the order service has committed all of them.
    pub(crate) async fn repeat(&mut self, envelopes: &[&Envelope]) {
        self.publish(envelopes.iter().map(|envelope| outgoing(envelope)).collect()).await;
    }

    pub(crate) async fn publish(&mut self, messages: Vec<Outgoing>) {
        let count = messages.len();
        soon("room", self.publisher.publish(messages)).await.unwrap();
        for _ in 0..count {
            let outcome = soon("a confirmation", self.outcomes.recv()).await.unwrap();
            assert_eq!(outcome.result, PublishResult::Confirmed);
        }
    }
}

/// An event about the same order as `about`, caused by it.
pub(crate) fn saying(about: &Envelope, body: EventBody) -> Envelope {
    Envelope {
        header: Header {
            id: MessageId(Uuid::now_v7()),
            time: Clock::default().now(),
            causation_id: about.header.id.0,
            system_id: None,
            traceparent: None,
        },
        event: Event { body, ..about.event.clone() },
    }
}

pub(crate) fn outgoing(envelope: &Envelope) -> Outgoing {
    let flow = envelope.event.body.event_type().flow();
    Outgoing {
        message_id: envelope.header.id,
        route: flow.route,
        correlation_id: envelope.event.saga_id.0,
        body: envelope.encode().into(),
    }
}
