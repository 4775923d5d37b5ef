//! A broker that dead-letters the messages that the test selects.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use saga_runtime::{
    broker::Broker, broker::BrokerError, broker::Delivery, broker::Outgoing, broker::Publication, broker::Receipt,
    broker::Subscription,
};
use tokio::sync::mpsc;

/// The messages that the broker has dead-lettered and that were not consumed yet.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterQueue {
    messages: Mutex<Vec<(Outgoing, String, u32)>>,
    consumer: Mutex<Option<mpsc::Sender<Delivery>>>,
    acknowledged: Arc<AtomicUsize>,
}

impl DeadLetterQueue {
    /// Dead-letters `message` for this reason, after this many redeliveries.
    pub(crate) fn add(&self, message: &Outgoing, reason: &str, redeliveries: u32) {
        self.messages.lock().unwrap().push((message.clone(), reason.to_owned(), redeliveries));
        self.hand_over();
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub(crate) fn lose_the_connection(&self) {
        *self.consumer.lock().unwrap() = None;
    }

    /// Delivers all messages, if there is a consumer.
    fn hand_over(&self) {
        let Some(consumer) = &*self.consumer.lock().unwrap() else { return };
        for (message, reason, redeliveries) in self.messages.lock().unwrap().drain(..) {
            let (settle, mut settlements) = mpsc::unbounded_channel();
            let receipt = Receipt::new(1, settle);
            let acknowledged = Arc::clone(&self.acknowledged);
            tokio::spawn(async move {
                if settlements.recv().await.is_some_and(|settlement| settlement.acknowledged) {
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
            let delivery = Delivery {
                body: Arc::clone(&message.body).into(),
                message_id: Some(message.message_id.to_string()),
                redeliveries,
                dead_lettered: Some(reason),
                receipt,
            };
            consumer.try_send(delivery).unwrap();
        }
    }
}

/// A broker with a dead-letter queue in addition to its queue.
#[derive(Debug)]
struct GivingUp {
    inner: Arc<dyn Broker>,
    dead_letters: Arc<DeadLetterQueue>,
}

pub(crate) fn giving_up(inner: &Arc<dyn Broker>) -> (Arc<dyn Broker>, Arc<DeadLetterQueue>) {
    let dead_letters = Arc::new(DeadLetterQueue::default());
    (Arc::new(GivingUp { inner: Arc::clone(inner), dead_letters: Arc::clone(&dead_letters) }), dead_letters)
}

#[async_trait]
impl Broker for GivingUp {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        self.inner.publisher().await
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        self.inner.subscribe(prefetch).await
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        let (sender, receiver) = mpsc::channel(prefetch);
        *self.dead_letters.consumer.lock().unwrap() = Some(sender);
        self.dead_letters.hand_over();
        Ok(Some(receiver))
    }

    fn messaging_system(&self) -> &'static str {
        "test"
    }

    fn confirms_after_commit(&self) -> bool {
        self.inner.confirms_after_commit()
    }
}
