//! Publishes messages and reports the result of each.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use lapin::{
    Channel, Confirmation, Connection, Event,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use saga_message::{MessageId, Route};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::task::TaskTracker;

use super::{
    clock::UnblockedTime,
    connection::close,
    declare::keep_consumers_declared,
    failure::{BrokerFailure, Phase},
    message::properties,
    return_tracker::ReturnTracker,
    topology::{Topology, deliveries_exchange, events_exchange},
};
use saga_runtime::broker::{BrokerError, Outcome, Outgoing, Publication, PublishResult, Publisher};

/// Maximum number of unconfirmed copies of messages; beyond it, a publisher waits. (The relay's own limit is
/// lower.)
const MAX_UNCONFIRMED: usize = 16_384;

/// Time between two barriers of the [`ReturnTracker`]. Each barrier costs one round trip to the broker, and only the
/// deletion from the outbox waits for its result.
const BARRIER_INTERVAL: Duration = Duration::from_millis(25);

/// How long a connection may refuse everything for a queue. RabbitMQ 3.10 looks for the leader of a quorum queue when a
/// channel first publishes to it; if that leader's node has just gone down, the channel refuses all messages for the
/// queue for as long as it is open, while a new one finds the new leader.
const MAX_REFUSAL: Duration = Duration::from_secs(5);

/// How often the age of the oldest confirm is checked during one confirm timeout.
const CHECKS_PER_TIMEOUT: u32 = 4;

/// The settings of a publisher.
pub(crate) struct Settings {
    /// The broker's address, for logs and errors.
    pub(crate) address: String,
    /// The consumers' queues and bindings. `None` if this user may not declare them.
    pub(crate) consumers: Option<Topology>,
    /// How long the broker may take to confirm a message, not counting the time during which it has blocked the
    /// connection.
    pub(crate) confirm_timeout: Duration,
}

/// Opens the channels on `connection` and starts the publisher.
pub(crate) async fn start(
    connection: Connection,
    settings: Settings,
    tasks: &TaskTracker,
) -> lapin::Result<Publication> {
    let channel = confirming(&connection).await?;
    let events = confirming(&connection).await?;
    let (batches, received) = mpsc::channel(1);
    let (outcomes, receiver) = mpsc::unbounded_channel();
    let end = Arc::new(OnceLock::new());
    let address = settings.address.clone();
    let session = Session {
        settings,
        channel,
        events,
        batches: received,
        outcomes,
        confirms: FuturesUnordered::new(),
        return_tracker: ReturnTracker::default(),
        barrier: None,
        next_barrier: Instant::now(),
        clock: UnblockedTime::new(Instant::now()),
        unroutable: Arc::default(),
        refused_since: HashMap::new(),
    };
    tasks.spawn(session.run(connection, Arc::clone(&end)));
    Ok((Box::new(RabbitMqPublisher { batches, address, end }), receiver))
}

async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

struct RabbitMqPublisher {
    /// Messages for the [`Session`], as they are passed to [`Publisher::publish`].
    batches: mpsc::Sender<Vec<Outgoing>>,
    address: String,
    /// Why the connection was lost.
    end: Arc<OnceLock<BrokerError>>,
}

#[async_trait]
impl Publisher for RabbitMqPublisher {
    async fn publish(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        let handed_over = self.batches.send(messages).await;
        let closed = || BrokerFailure::Lost("the connection is closed".to_owned()).at(&self.address);
        handed_over.map_err(|_| self.end.get().cloned().unwrap_or_else(closed))
    }
}

/// Publishes on one connection. It runs in one task, because two tasks on one channel could receive each other's
/// confirms.
///
/// Copies for listeners have their own channel. If no queue is bound, RabbitMQ confirms them at once, long before the
/// consumers' queues confirm theirs. On a shared channel, it could then not confirm many messages with one answer.
struct Session {
    settings: Settings,
    /// For the consumers' copies.
    channel: Channel,
    /// For the listeners' copies.
    events: Channel,
    /// The messages to publish.
    batches: mpsc::Receiver<Vec<Outgoing>>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    confirms: FuturesUnordered<BoxFuture<'static, Confirm>>,
    return_tracker: ReturnTracker,
    barrier: Option<BoxFuture<'static, lapin::Result<()>>>,
    /// The earliest time for the next barrier.
    next_barrier: Instant,
    /// Measures the age of unconfirmed messages.
    clock: UnblockedTime,
    /// Notified for each message that was not routed to some consumer's queue.
    unroutable: Arc<Notify>,
    /// Since when all messages for a consumer have been refused.
    refused_since: HashMap<&'static str, Instant>,
}

/// The broker's answer for one copy of a message.
struct Confirm {
    message_id: MessageId,
    /// The consumer whose copy it is; `None` for listeners.
    consumer: Option<&'static str>,
    answer: lapin::Result<Confirmation>,
}

impl Session {
    async fn run(mut self, connection: Connection, end: Arc<OnceLock<BrokerError>>) {
        let (consumers, unroutable) = (self.settings.consumers.take(), Arc::clone(&self.unroutable));
        let declaring = async {
            match consumers {
                Some(topology) => keep_consumers_declared(&connection, &topology, &unroutable).await,
                None => std::future::pending().await,
            }
        };
        let worked = tokio::select! {
            worked = self.work(&connection) => worked,
            never = declaring => match never {},
        };
        if let Err(failure) = worked {
            let error = failure.at(&self.settings.address);
            tracing::warn!(%error, "the connection to the broker for publishing is lost");
            let _ = end.set(error);
        }
        let Self { batches, outcomes, .. } = self;
        drop((batches, outcomes));
        close(connection).await;
    }

    /// Runs until no more messages can come and all results are reported, or until the outcomes' receiver is dropped.
    /// Returns an error if the connection is lost.
    async fn work(&mut self, connection: &Connection) -> Result<(), BrokerFailure> {
        let mut events = pin!(connection.events_listener());
        let mut checks = interval(self.settings.confirm_timeout / CHECKS_PER_TIMEOUT);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = true;
        while is_open || !self.confirms.is_empty() || !self.return_tracker.is_empty() {
            tokio::select! {
                batch = self.batches.recv(), if is_open && self.confirms.len() < MAX_UNCONFIRMED => match batch {
                    Some(messages) => messages.into_iter().try_for_each(|message| self.publish_copies(message))?,
                    None => is_open = false,
                },
                Some(confirm) = self.confirms.next() => self.on_confirm(confirm)?,
                Some(barrier) = OptionFuture::from(self.barrier.as_mut()) => {
                    self.barrier = None;
                    barrier.map_err(|error| lost(&error))?;
                    self.take_resolved_confirms()?;
                    self.return_tracker.pass_barrier().into_iter().for_each(|outcome| self.report(outcome));
                }
                () = sleep_until(self.next_barrier), if self.return_tracker.needs_barrier() => self.begin_barrier(),
                Some(event) = events.next() => self.on_event(connection, event)?,
                _ = checks.tick() => self.check_overdue()?,
                () = self.outcomes.closed() => return Ok(()),
            }
        }
        Ok(())
    }

    fn begin_barrier(&mut self) {
        self.return_tracker.begin_barrier();
        self.next_barrier = Instant::now() + BARRIER_INTERVAL;
        let channel = self.channel.clone();
        // Any request works as a barrier; this one changes nothing.
        self.barrier = Some(async move { channel.confirm_select(ConfirmSelectOptions::default()).await }.boxed());
    }

    /// Ends the connection if a confirm is overdue. Otherwise its message would stay in the outbox forever; the next
    /// connection publishes it again.
    fn check_overdue(&self) -> Result<(), BrokerFailure> {
        let timeout = self.settings.confirm_timeout;
        let age =
            self.return_tracker.oldest().map(|published| self.clock.elapsed(Instant::now()).saturating_sub(published));
        if age.is_none_or(|age| age <= timeout) {
            return Ok(());
        }
        Err(BrokerFailure::Lost(format!("it has not confirmed a message within {timeout:?}, though it takes messages")))
    }

    /// Publishes one copy for each consumer and one for listeners. Each is confirmed separately.
    fn publish_copies(&mut self, message: Outgoing) -> Result<(), BrokerFailure> {
        self.return_tracker.published(
            message.message_id,
            message.route.consumers.len() + 1,
            self.clock.elapsed(Instant::now()),
        );
        let Route { publisher, consumers, routing_key, .. } = *message.route;
        let deliveries = deliveries_exchange(publisher);
        for consumer in consumers {
            self.publish_copy(&message, &deliveries, consumer, Some(consumer))?;
        }
        self.publish_copy(&message, &events_exchange(publisher), routing_key, None)
    }

    /// Puts one copy into the connection's buffer. Waiting here until it is written would cost one pass through the
    /// connection's thread for each copy, and would last as long as the broker blocks the connection.
    fn publish_copy(
        &mut self,
        message: &Outgoing,
        exchange: &str,
        routing_key: &str,
        consumer: Option<&'static str>,
    ) -> Result<(), BrokerFailure> {
        let mandatory = consumer.is_some();
        let channel = if mandatory { self.channel.clone() } else { self.events.clone() };
        let (properties, message_id) = (properties(message), message.message_id);
        let (exchange, key, body) = (exchange.into(), routing_key.into(), Arc::clone(&message.body));
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let mut confirm = async move {
            let answer = match channel.basic_publish(exchange, key, options, body.as_bytes(), properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            Confirm { message_id, consumer, answer }
        }
        .boxed();
        // The first poll assigns the delivery tag and enqueues the copy in the buffer, so the messages keep their
        // order.
        match confirm.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(confirm) => self.on_confirm(confirm),
            Poll::Pending => {
                self.confirms.push(confirm);
                Ok(())
            }
        }
    }

    fn on_confirm(&mut self, confirm: Confirm) -> Result<(), BrokerFailure> {
        let (returned, accepted) = match confirm.answer.map_err(|error| lost(&error))? {
            Confirmation::Ack(returned) => (returned, true),
            Confirmation::Nack(returned) => (returned, false),
            Confirmation::NotRequested => return Err(BrokerFailure::Lost("the channel does not confirm".to_owned())),
        };
        if let Some(returned) = returned {
            self.returned_message(&returned);
        }
        self.return_tracker.answered(confirm.message_id, accepted);
        confirm.consumer.map_or(Ok(()), |consumer| self.check_refusal(consumer, accepted))
    }

    /// Ends the connection if it has refused all messages for a consumer for too long.
    fn check_refusal(&mut self, consumer: &'static str, accepted: bool) -> Result<(), BrokerFailure> {
        if accepted {
            self.refused_since.remove(consumer);
            return Ok(());
        }
        let since = *self.refused_since.entry(consumer).or_insert_with(Instant::now);
        if since.elapsed() < MAX_REFUSAL {
            return Ok(());
        }
        Err(BrokerFailure::Lost(format!("it has refused all messages for {consumer} for {MAX_REFUSAL:?}")))
    }

    /// Handles all confirms that are resolved by now.
    fn take_resolved_confirms(&mut self) -> Result<(), BrokerFailure> {
        // The stream may return `Pending` before it has polled all futures; it then wakes its waker.
        let more = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&more));
        loop {
            match self.confirms.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(confirm)) => self.on_confirm(confirm)?,
                Poll::Pending if more.0.swap(false, Ordering::AcqRel) => {}
                Poll::Ready(None) | Poll::Pending => return Ok(()),
            }
        }
    }

    fn returned_message(&mut self, returned: &BasicReturnMessage) {
        let id = returned.properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
        match id {
            Some(id) => self.return_tracker.returned(MessageId(id), returned.routing_key.as_str()),
            None => tracing::error!(reason = %returned.reply_text, "the broker returned a message that is not ours"),
        }
    }

    /// Handles an event of the connection as a whole.
    fn on_event(&mut self, connection: &Connection, event: Event) -> Result<(), BrokerFailure> {
        match event {
            // Errors of other channels are reported here too, such as a refused declaration.
            Event::Error(error) if !connection.status().connected() => return Err(lost(&error)),
            Event::ConnectionBlocked(reason) => {
                self.clock.block(Instant::now());
                tracing::warn!(reason, "the broker takes no messages for the moment; they stay in the outbox");
            }
            Event::ConnectionUnblocked => {
                self.clock.unblock(Instant::now());
                tracing::info!("the broker takes messages again");
            }
            _ => {}
        }
        Ok(())
    }

    fn report(&self, outcome: Outcome) {
        if matches!(outcome.result, PublishResult::Unroutable(_)) {
            self.unroutable.notify_one();
        }
        // If the receiver is gone, the message is published again later.
        let _ = self.outcomes.send(outcome);
    }
}

fn lost(error: &lapin::Error) -> BrokerFailure {
    BrokerFailure::of(error, Phase::Working)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
