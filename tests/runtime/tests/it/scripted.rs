//! Brokers whose behaviour the test sets.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use saga_runtime::{
    broker::Broker, broker::BrokerError, broker::Delivery, broker::Outcome, broker::Outgoing, broker::Publication,
    broker::PublishResult, broker::Publisher, broker::Receipt, broker::Subscription,
};
use shared_events::MessageId;
use tokio::sync::mpsc;

use crate::counting_participant::Gate;

/// What a broker does with a message.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    Say(PublishResult),
    /// It reports no outcome.
    Silence,
    /// It accepts the message, and the connection is lost.
    Break,
}

type Script = Box<dyn FnMut(&Outgoing) -> Reaction + Send>;

/// A broker whose publisher follows the script. There is nothing to consume.
pub(crate) struct Scripted {
    script: Mutex<Script>,
    /// While it is shut, publishing waits.
    pub(crate) room: Gate,
    published: Mutex<Vec<Outgoing>>,
    connection: Mutex<Option<mpsc::UnboundedSender<Outcome>>>,
    refuses: AtomicBool,
    consumers: Mutex<Vec<mpsc::Sender<Delivery>>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub(crate) fn new(script: impl FnMut(&Outgoing) -> Reaction + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Box::new(script)),
            room: Gate::default(),
            published: Mutex::default(),
            connection: Mutex::default(),
            refuses: AtomicBool::new(false),
            consumers: Mutex::default(),
        })
    }

    pub(crate) fn now(&self, script: impl FnMut(&Outgoing) -> Reaction + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// All messages that were published, in order, over all connections.
    pub(crate) fn published(&self) -> Vec<MessageId> {
        self.published.lock().unwrap().iter().map(|message| message.message_id).collect()
    }

    /// Confirms these messages over the current connection.
    pub(crate) fn confirm(&self, messages: &[MessageId]) {
        for &message_id in messages {
            self.tell(Outcome { message_id, result: PublishResult::Confirmed });
        }
    }

    pub(crate) fn lose_the_connection(&self) {
        *self.connection.lock().unwrap() = None;
    }

    /// Sets whether it refuses publishers. If so, it also ends the connection.
    pub(crate) fn refuse_connections(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
        if refuses {
            self.lose_the_connection();
        }
    }

    fn tell(&self, outcome: Outcome) {
        if let Some(connection) = &*self.connection.lock().unwrap() {
            let _ = connection.send(outcome);
        }
    }
}

struct ScriptedPublisher(Arc<Scripted>);

/// The broker as the relay sees it.
#[derive(Debug)]
struct Connected(Arc<Scripted>);

pub(crate) fn broker(scripted: &Arc<Scripted>) -> Arc<dyn Broker> {
    Arc::new(Connected(Arc::clone(scripted)))
}

#[async_trait]
impl Broker for Connected {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        if self.0.refuses.load(Ordering::SeqCst) {
            return Err(BrokerError::Unreachable("the test refuses connections".to_owned()));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.0.connection.lock().unwrap() = Some(sender);
        Ok((Box::new(ScriptedPublisher(Arc::clone(&self.0))), receiver))
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let (sender, receiver) = mpsc::channel(prefetch);
        self.0.consumers.lock().unwrap().push(sender);
        Ok(receiver)
    }

    async fn dead_letters(&self, _prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        Ok(None)
    }

    fn messaging_system(&self) -> &'static str {
        "test"
    }

    fn confirms_after_commit(&self) -> bool {
        false
    }
}

#[async_trait]
impl Publisher for ScriptedPublisher {
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        for message in messages {
            self.0.room.pass().await;
            let reaction = (self.0.script.lock().unwrap())(&message);
            let message_id = message.message_id;
            self.0.published.lock().unwrap().push(message);
            match reaction {
                Reaction::Say(result) => self.0.tell(Outcome { message_id, result }),
                Reaction::Silence => {}
                Reaction::Break => {
                    self.0.lose_the_connection();
                    return Err(BrokerError::Unreachable("the test cut the line".to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// How each delivery is changed on its way to the consumer.
type Change = fn(Delivery, &mut Vec<Receipt>) -> Delivery;

/// A broker whose deliveries are changed on their way.
#[derive(Debug)]
struct Changed {
    inner: Arc<dyn Broker>,
    change: Change,
}

/// A broker that does not know the ids of messages.
pub(crate) fn nameless(inner: &Arc<dyn Broker>) -> Arc<dyn Broker> {
    let change: Change = |delivery, _| Delivery { message_id: None, ..delivery };
    Arc::new(Changed { inner: Arc::clone(inner), change })
}

/// A broker that receives no acknowledgements.
pub(crate) fn deaf(inner: &Arc<dyn Broker>) -> Arc<dyn Broker> {
    let change: Change = |delivery, kept| {
        kept.push(delivery.receipt);
        Delivery { receipt: Receipt::new(0, mpsc::unbounded_channel().0), ..delivery }
    };
    Arc::new(Changed { inner: Arc::clone(inner), change })
}

#[async_trait]
impl Broker for Changed {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        self.inner.publisher().await
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let mut inner = self.inner.subscribe(prefetch).await?;
        let (sender, receiver) = mpsc::channel(prefetch);
        let change = self.change;
        tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                tokio::select! {
                    delivery = inner.recv() => {
                        let Some(delivery) = delivery else { break };
                        let _ = sender.send(change(delivery, &mut kept)).await;
                    }
                    () = sender.closed() => break,
                }
            }
        });
        Ok(receiver)
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        self.inner.dead_letters(prefetch).await
    }

    fn messaging_system(&self) -> &'static str {
        "test"
    }

    fn confirms_after_commit(&self) -> bool {
        self.inner.confirms_after_commit()
    }
}
