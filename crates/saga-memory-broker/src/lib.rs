//! A broker for the runtime inside one process: no server, no storage.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use saga_message::MessageId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use saga_runtime::broker::{
    Broker, BrokerError, Delivery, Outcome, Outgoing, Publication, PublishResult, Publisher, QueueStats, Receipt,
    Settlement, Subscription,
};

/// A broker inside the process, with one bounded queue for each service and no storage.
///
/// A message is confirmed only when each of its consumers has acknowledged it, which they do after their commit. Until
/// then it remains in its publisher's outbox. So a crash loses nothing: what was not confirmed is published again.
#[derive(Debug, Clone)]
pub struct InProcessBroker {
    hub: Arc<Hub>,
    service: &'static str,
}

#[derive(Debug, Default)]
struct Hub {
    /// Not changed after the broker was created.
    queues: BTreeMap<&'static str, Arc<Queue>>,
}

#[derive(Debug)]
struct Queue {
    service: &'static str,
    ready: Mutex<Ready>,
    arrived: Notify,
    /// One permit for each message that is ready or unacknowledged.
    permits: Arc<Semaphore>,
    /// The permit that the only consumer holds.
    consumer: Arc<Semaphore>,
}

/// The messages that are ready to be delivered, by position. A message that is given back returns to its old position.
#[derive(Debug, Default)]
struct Ready {
    messages: BTreeMap<u64, Message>,
    next_position: u64,
}

#[derive(Debug)]
struct Message {
    position: u64,
    id: MessageId,
    body: Arc<str>,
    redeliveries: u32,
    unconfirmed: Arc<Unconfirmed>,
    _permit: OwnedSemaphorePermit,
}

/// Counts the queues whose consumers have not committed a message yet.
#[derive(Debug)]
struct Unconfirmed {
    message_id: MessageId,
    queues: AtomicUsize,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

impl Unconfirmed {
    fn committed_by_one(&self) {
        if self.queues.fetch_sub(1, Ordering::AcqRel) == 1 {
            // If the publisher no longer exists, the message will be published again.
            let _ = self.outcomes.send(Outcome { message_id: self.message_id, result: PublishResult::Confirmed });
        }
    }
}

impl InProcessBroker {
    /// Creates a broker with a queue for each of `services`, and returns each service's view of it. If a queue contains
    /// `capacity` messages, publishers wait.
    #[must_use]
    pub fn for_services(services: &[&'static str], capacity: usize) -> HashMap<&'static str, Self> {
        let queue = |service: &'static str| {
            let queue = Queue {
                service,
                ready: Mutex::default(),
                arrived: Notify::new(),
                permits: Arc::new(Semaphore::new(capacity)),
                consumer: Arc::new(Semaphore::new(1)),
            };
            (service, Arc::new(queue))
        };
        let hub = Arc::new(Hub { queues: services.iter().copied().map(queue).collect() });
        services.iter().map(|&service| (service, Self { hub: Arc::clone(&hub), service })).collect()
    }
}

#[async_trait]
impl Broker for InProcessBroker {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        Ok((Box::new(InProcessPublisher { hub: Arc::clone(&self.hub), outcomes }), receiver))
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let queue = self.hub.queues.get(self.service).cloned();
        let queue = queue.ok_or_else(|| BrokerError::Unreachable(format!("there is no queue for {}", self.service)))?;
        let only_consumer = Arc::clone(&queue.consumer).try_acquire_owned();
        let only_consumer = only_consumer.map_err(|_| BrokerError::AlreadyConsumed(queue.service.to_owned()))?;
        let (deliveries, subscription) = mpsc::channel(prefetch.max(1));
        tokio::spawn(async move {
            deliver(&queue, &deliveries, prefetch.max(1)).await;
            drop(only_consumer);
        });
        Ok(subscription)
    }

    /// Returns `None`, because this broker redelivers a message until it is acknowledged.
    async fn dead_letters(&self, _prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        Ok(None)
    }

    fn queue(&self) -> Option<QueueStats> {
        let queue = self.hub.queues.get(self.service)?;
        let ready = queue.lock().messages.len() as u64;
        Some(QueueStats { ready, consumers: 1 - queue.consumer.available_permits().min(1) as u64 })
    }

    fn messaging_system(&self) -> &'static str {
        "in_process"
    }

    fn confirms_after_commit(&self) -> bool {
        true
    }
}

struct InProcessPublisher {
    hub: Arc<Hub>,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

#[async_trait]
impl Publisher for InProcessPublisher {
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        for message in messages {
            let (mut queues, mut missing) = (Vec::new(), Vec::new());
            for &consumer in message.route.consumers {
                match self.hub.queues.get(consumer) {
                    Some(queue) => queues.push(queue),
                    None => missing.push(consumer.to_string()),
                }
            }
            if queues.is_empty() || !missing.is_empty() {
                let result =
                    if missing.is_empty() { PublishResult::Confirmed } else { PublishResult::Unroutable(missing) };
                let _ = self.outcomes.send(Outcome { message_id: message.message_id, result });
                continue;
            }
            let unconfirmed = Arc::new(Unconfirmed {
                message_id: message.message_id,
                queues: AtomicUsize::new(queues.len()),
                outcomes: self.outcomes.clone(),
            });
            for queue in queues {
                queue.push(&message, &unconfirmed).await;
            }
        }
        Ok(())
    }
}

impl Queue {
    async fn push(&self, message: &Outgoing, unconfirmed: &Arc<Unconfirmed>) {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        let mut ready = self.lock();
        let position = ready.next_position;
        ready.next_position += 1;
        let message = Message {
            position,
            id: message.message_id,
            body: Arc::clone(&message.body),
            redeliveries: 0,
            unconfirmed: Arc::clone(unconfirmed),
            _permit: permit,
        };
        ready.messages.insert(position, message);
        drop(ready);
        self.arrived.notify_one();
    }

    fn give_back(&self, mut message: Message) {
        message.redeliveries += 1;
        self.lock().messages.insert(message.position, message);
        self.arrived.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers a queue's messages to its consumer until the consumer closes its channel, then gives back the
/// unacknowledged ones.
async fn deliver(queue: &Queue, deliveries: &mpsc::Sender<Delivery>, prefetch: usize) {
    let (settle, mut settlements) = mpsc::unbounded_channel();
    // The key is the tag.
    let mut unacknowledged: BTreeMap<u64, Message> = BTreeMap::new();
    let mut next_tag = 0;
    'consumer: loop {
        while unacknowledged.len() < prefetch {
            let Some((_, message)) = queue.lock().messages.pop_first() else { break };
            next_tag += 1;
            let delivery = Delivery {
                body: Arc::clone(&message.body).into(),
                message_id: Some(message.id.to_string()),
                redeliveries: message.redeliveries,
                dead_lettered: None,
                receipt: Receipt::new(next_tag, settle.clone()),
            };
            unacknowledged.insert(next_tag, message);
            // The channel has room, because all messages in it are unacknowledged and its capacity is `prefetch`. So
            // sending fails only if the consumer has closed the channel.
            if deliveries.try_send(delivery).is_err() {
                break 'consumer;
            }
        }
        tokio::select! {
            biased;
            () = deliveries.closed() => break,
            // This never returns `None`, because `settle` lives in this function.
            Some(Settlement { tag, acknowledged }) = settlements.recv() => {
                let Some(message) = unacknowledged.remove(&tag) else { continue };
                if acknowledged {
                    message.unconfirmed.committed_by_one();
                } else {
                    queue.give_back(message);
                }
            }
            // If the window is full, only a settlement or the end of the consumer changes anything.
            () = queue.arrived.notified(), if unacknowledged.len() < prefetch => {}
        }
    }
    // The consumer may have acknowledged some messages just before it ended.
    while let Ok(Settlement { tag, acknowledged }) = settlements.try_recv() {
        if acknowledged && let Some(message) = unacknowledged.remove(&tag) {
            message.unconfirmed.committed_by_one();
        }
    }
    for message in unacknowledged.into_values() {
        queue.give_back(message);
    }
}

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
