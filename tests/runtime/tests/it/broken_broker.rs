//! A broker with a fault, which the conformance suite has to find: it wraps the in-process broker.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saga_memory_broker::InProcessBroker;
use saga_message::{MessageId, Route, ServiceSpec};
use saga_runtime::{
    broker::{
        Broker, BrokerError, Delivery, Outcome, Outgoing, Publication, PublishResult, Publisher, QueueStats, Receipt,
        Settlement, Subscription,
    },
    conformance::{BrokerUnderTest, Brokers, Capabilities, SERVICES, TimeLimits},
};
use tokio::sync::mpsc;

use crate::in_process::InProcess;

/// What is wrong with a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the wrapper itself breaks no promise.
    None,
    /// Nothing: it can do only what every broker must, and declares no capabilities.
    Weak,
    /// Like `Weak`, but it confirms a message whose queue is missing.
    WeakConfirmsUnroutable,
    /// Publishing: it confirms a message whose queue is missing.
    ConfirmsUnroutable,
    /// It confirms before the consumers have committed, although it declares the opposite.
    ConfirmsBeforeCommit,
    /// It confirms each message twice.
    ConfirmsTwice,
    /// It reverses the order of messages that are published together.
    Reorders,
    /// It delivers to the first consumer of a message only.
    ForgetsTheSecondConsumer,
    /// It delivers each message to every service.
    DeliversToEverybody,
    /// It publishes each message twice.
    PublishesTwice,
    /// It accepts all messages, without a limit.
    NeverFull,
    /// It drops what is published while its queue has no consumer, and confirms it.
    LosesWithoutConsumer,
    /// It treats a message that is published again as a duplicate, and drops it without an outcome.
    DropsRepublished,
    /// Consuming: it delivers more than the prefetch.
    ExceedsPrefetch,
    /// It treats a dropped delivery as acknowledged.
    NeverRedelivers,
    /// It delivers acknowledged messages again.
    ForgetsAcknowledgements,
    /// It counts no redeliveries.
    CountsNoRedeliveries,
    /// It delivers without the ids of the messages.
    LosesIds,
    /// It treats the deliveries of a lost consumer as acknowledged.
    LosesWhatIsHeld,
    /// It accepts a second consumer, although it declares the opposite.
    AdmitsSecondConsumer,
    /// It has dead letters, although it declares the opposite.
    HasDeadLetters,
}

#[async_trait]
impl BrokerUnderTest for Fault {
    fn capabilities(&self) -> Capabilities {
        let capabilities = InProcess.capabilities();
        let Capabilities { single_consumer, queue_capacity, .. } = capabilities;
        match self {
            Self::Weak | Self::WeakConfirmsUnroutable => {
                Capabilities { single_consumer, queue_capacity, ..Capabilities::default() }
            }
            _ => capabilities,
        }
    }

    /// Short, because a broken promise often shows in something that never arrives.
    fn limits(&self) -> TimeLimits {
        match self {
            Self::None | Self::Weak => TimeLimits::default(),
            _ => TimeLimits { deadline: Duration::from_secs(2), ..TimeLimits::default() },
        }
    }

    async fn fresh(&self, services: &[ServiceSpec]) -> Brokers {
        let names: Vec<_> = services.iter().map(|service| service.name).collect();
        let capacity = self.capabilities().queue_capacity.expect("the in-process broker has a capacity");
        let consumed = Arc::new(Mutex::new(HashSet::new()));
        let brokers = InProcessBroker::for_services(&names, capacity).into_iter().map(|(service, inner)| {
            let seen = Arc::default();
            (service, BrokenBroker { fault: *self, service, inner, consumed: Arc::clone(&consumed), seen })
        });
        Brokers::new(brokers.collect::<Vec<_>>(), ())
    }

    async fn with_all_queues(&self, _brokers: Brokers) -> Brokers {
        self.fresh(&SERVICES).await
    }
}

/// The in-process broker with a fault.
#[derive(Debug)]
struct BrokenBroker {
    fault: Fault,
    service: &'static str,
    inner: InProcessBroker,
    /// The services whose queues have had a consumer.
    consumed: Arc<Mutex<HashSet<&'static str>>>,
    /// The messages that were published.
    seen: Arc<Mutex<BTreeSet<MessageId>>>,
}

#[async_trait]
impl Broker for BrokenBroker {
    async fn publisher(&self) -> Result<Publication, BrokerError> {
        let (publisher, mut inner_outcomes) = self.inner.publisher().await?;
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let broken = BrokenPublisher {
            fault: self.fault,
            publisher: Arc::new(tokio::sync::Mutex::new(publisher)),
            outcomes: outcomes.clone(),
            consumed: Arc::clone(&self.consumed),
            seen: Arc::clone(&self.seen),
        };
        let fault = self.fault;
        tokio::spawn(async move {
            while let Some(mut outcome) = inner_outcomes.recv().await {
                match fault {
                    Fault::ConfirmsBeforeCommit if outcome.result == PublishResult::Confirmed => continue,
                    Fault::ConfirmsUnroutable | Fault::WeakConfirmsUnroutable => {
                        outcome.result = PublishResult::Confirmed
                    }
                    Fault::Weak if outcome.result != PublishResult::Confirmed => {
                        outcome.result = PublishResult::Refused
                    }
                    Fault::ConfirmsTwice => drop(outcomes.send(outcome.clone())),
                    _ => {}
                }
                let _ = outcomes.send(outcome);
            }
        });
        Ok((Box::new(broken), receiver))
    }

    async fn subscribe(&self, prefetch: usize) -> Result<Subscription, BrokerError> {
        let prefetch = if self.fault == Fault::ExceedsPrefetch { 2 * prefetch } else { prefetch };
        let inner = match self.inner.subscribe(prefetch).await {
            Err(BrokerError::AlreadyConsumed(_)) if self.fault == Fault::AdmitsSecondConsumer => {
                return Ok(mpsc::channel(1).1);
            }
            subscribed => subscribed?,
        };
        self.consumed.lock().unwrap().insert(self.service);
        let (deliveries, subscription) = mpsc::channel(prefetch);
        tokio::spawn(forward(self.fault, inner, deliveries));
        Ok(subscription)
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Option<Subscription>, BrokerError> {
        match self.fault {
            Fault::HasDeadLetters => Ok(Some(mpsc::channel(prefetch).1)),
            _ => self.inner.dead_letters(prefetch).await,
        }
    }

    fn queue(&self) -> Option<QueueStats> {
        self.inner.queue()
    }

    fn messaging_system(&self) -> &'static str {
        "test"
    }

    fn confirms_after_commit(&self) -> bool {
        self.inner.confirms_after_commit()
    }
}

struct BrokenPublisher {
    fault: Fault,
    publisher: Arc<tokio::sync::Mutex<Box<dyn Publisher>>>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    consumed: Arc<Mutex<HashSet<&'static str>>>,
    seen: Arc<Mutex<BTreeSet<MessageId>>>,
}

impl BrokenPublisher {
    fn confirm(&self, message_id: MessageId) {
        let _ = self.outcomes.send(Outcome { message_id, result: PublishResult::Confirmed });
    }

    fn has_consumers(&self, route: &Route) -> bool {
        let consumed = self.consumed.lock().unwrap();
        route.consumers.iter().all(|consumer| consumed.contains(consumer))
    }
}

#[async_trait]
impl Publisher for BrokenPublisher {
    async fn publish(&mut self, mut messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        match self.fault {
            Fault::ConfirmsBeforeCommit => messages.iter().for_each(|message| self.confirm(message.message_id)),
            Fault::Reorders | Fault::Weak => messages.reverse(),
            Fault::ForgetsTheSecondConsumer => for_consumers(&mut messages, |route| &route.consumers[..1]),
            Fault::DeliversToEverybody => for_consumers(&mut messages, |_| &["sender", "worker", "auditor"]),
            Fault::PublishesTwice => messages = messages.into_iter().flat_map(|one| [one.clone(), one]).collect(),
            Fault::LosesWithoutConsumer => {
                let (kept, lost): (Vec<_>, _) = messages.into_iter().partition(|one| self.has_consumers(one.route));
                lost.iter().for_each(|message: &Outgoing| self.confirm(message.message_id));
                messages = kept;
            }
            Fault::DropsRepublished => messages.retain(|message| self.seen.lock().unwrap().insert(message.message_id)),
            _ => {}
        }
        let publisher = Arc::clone(&self.publisher);
        let publishing = async move { publisher.lock().await.publish(messages).await };
        if self.fault == Fault::NeverFull {
            tokio::spawn(publishing);
            return Ok(());
        }
        publishing.await
    }
}

/// Replaces the consumers of the messages that have any.
fn for_consumers(messages: &mut [Outgoing], consumers: impl Fn(&'static Route) -> &'static [&'static str]) {
    for message in messages.iter_mut().filter(|message| !message.route.consumers.is_empty()) {
        message.route = Box::leak(Box::new(Route { consumers: consumers(message.route), ..*message.route }));
    }
}

/// Passes deliveries on, and their settlements back, until the consumer ends.
async fn forward(fault: Fault, mut inner: Subscription, deliveries: mpsc::Sender<Delivery>) {
    let (settle, mut settlements) = mpsc::unbounded_channel::<Settlement>();
    let mut held: Vec<Option<Receipt>> = Vec::new();
    let settled = |receipt: Option<Receipt>, acknowledged: bool| match receipt {
        Some(receipt) if (acknowledged && fault != Fault::ForgetsAcknowledgements) => receipt.acknowledge(),
        Some(receipt) if fault == Fault::NeverRedelivers => receipt.acknowledge(),
        receipt => drop(receipt),
    };
    loop {
        tokio::select! {
            biased;
            () = deliveries.closed() => break,
            Some(settlement) = settlements.recv() => settled(held[settlement.tag as usize].take(), settlement.acknowledged),
            Some(mut delivery) = inner.recv() => {
                let receipt = Receipt::new(held.len() as u64, settle.clone());
                held.push(Some(std::mem::replace(&mut delivery.receipt, receipt)));
                if matches!(fault, Fault::CountsNoRedeliveries | Fault::Weak) {
                    delivery.redeliveries = 0;
                }
                if matches!(fault, Fault::LosesIds | Fault::Weak) {
                    delivery.message_id = None;
                }
                if deliveries.send(delivery).await.is_err() {
                    break;
                }
            }
        }
    }
    while let Ok(settlement) = settlements.try_recv() {
        let acknowledged = settlement.acknowledged || fault == Fault::LosesWhatIsHeld;
        settled(held[settlement.tag as usize].take(), acknowledged);
    }
    if fault == Fault::LosesWhatIsHeld {
        held.into_iter().flatten().for_each(Receipt::acknowledge);
    }
}
