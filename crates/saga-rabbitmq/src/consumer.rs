//! Consumes a queue over one channel, and settles what was delivered.

use futures::{StreamExt, future::try_join_all};
use lapin::{
    Channel, Connection, Consumer,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{
    ack_batcher::AckBatcher,
    connection::close,
    declare::keep_bound,
    failure::{BrokerFailure, GONE, Phase},
    message::Reading,
    topology::Topology,
    watch::QueueWatch,
};
use saga_runtime::broker::{Delivery, Receipt, Settlement, Subscription};

/// How many settlements are looked at together.
const AT_ONCE: usize = 4_096;

/// What is consumed.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) queue: &'a str,
    /// How messages come into it.
    pub(crate) topology: &'a Topology,
    /// What operators see the consumer as.
    pub(crate) tag: &'a str,
    /// Makes deliveries of what comes in.
    pub(crate) read: Reading,
    /// Who wants to know how the queue stands.
    pub(crate) watch: Option<&'a QueueWatch>,
}

/// Begins to consume on `connection`, to the broker at `address`, with at most `prefetch` deliveries unsettled.
pub(crate) async fn start(
    connection: Connection,
    address: String,
    source: Source<'_>,
    prefetch: usize,
    tasks: &TaskTracker,
) -> lapin::Result<Subscription> {
    let Source { queue, topology, tag, read, watch } = source;
    // To AMQP, 0 is without bound.
    let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let consumer =
        channel.basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    let (deliveries, subscription) = mpsc::channel(prefetch.into());
    let (settle, settlements) = mpsc::unbounded_channel();
    let session =
        Session { channel, consumer, read, deliveries, settle, settlements, ack_batcher: AckBatcher::default() };
    let (queue, topology, watch) = (queue.to_owned(), topology.clone(), watch.cloned());
    tasks.spawn(async move {
        let watched = async {
            match watch {
                Some(watch) => watch.run(&connection, &queue).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = session.run() => ended,
            failure = keep_bound(&connection, &topology) => Err(failure),
            never = watched => match never {},
        };
        if let Err(failure) = ended {
            tracing::warn!(error = %failure.at(&address), "the connection to the broker for consuming is lost");
        }
        close(connection).await;
    });
    Ok(subscription)
}

/// One connection's consuming.
struct Session {
    channel: Channel,
    consumer: Consumer,
    read: Reading,
    deliveries: mpsc::Sender<Delivery>,
    settle: mpsc::UnboundedSender<Settlement>,
    settlements: mpsc::UnboundedReceiver<Settlement>,
    ack_batcher: AckBatcher,
}

impl Session {
    /// Works until the subscriber is gone and everything that it took is settled, or until the connection is lost: then
    /// says why.
    async fn run(mut self) -> Result<(), BrokerFailure> {
        let mut settled = Vec::new();
        loop {
            tokio::select! {
                message = self.consumer.next() => match message {
                    Some(Ok(message)) => self.deliver(message),
                    Some(Err(error)) => return Err(lost(&error)),
                    None => return Err(gone()),
                },
                // It never ends: `settle` lives.
                _ = self.settlements.recv_many(&mut settled, AT_ONCE) => {
                    settle(&self.channel, &mut self.ack_batcher, &mut settled).await.map_err(|error| lost(&error))?;
                }
                () = self.deliveries.closed() => return self.finish().await.map_err(|error| lost(&error)),
            }
        }
    }

    fn deliver(&self, message: lapin::message::Delivery) {
        let receipt = Receipt::new(message.delivery_tag, self.settle.clone());
        // There is room: what is in the channel is unsettled, and it holds as many as the broker sends unsettled. A
        // delivery for a subscriber that is gone gives itself back.
        let _ = self.deliveries.try_send((self.read)(message, receipt));
    }

    /// The subscriber is gone: gives back what it did not take, and settles what it took as that is handled.
    async fn finish(self) -> lapin::Result<()> {
        let Self { channel, mut consumer, settle: ours, mut settlements, mut ack_batcher, .. } = self;
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        // The stream ends after what came in before the consumer was cancelled.
        while let Some(message) = consumer.next().await {
            drop(Receipt::new(message?.delivery_tag, ours.clone()));
        }
        // From here on only the receipts that are still out keep the settlements open.
        drop(ours);
        let mut settled = Vec::new();
        while settlements.recv_many(&mut settled, AT_ONCE).await > 0 {
            settle(&channel, &mut ack_batcher, &mut settled).await?;
        }
        // Its answer says that the broker has worked off the last acknowledgements. RabbitMQ 4 forgets some of those that are
        // on their way to the queue when the connection is closed, and delivers these messages again.
        channel.close(200, "OK".into()).await
    }
}

fn gone() -> BrokerFailure {
    BrokerFailure::Wrong { wrong: "it ended the consumer, as it does when a queue is deleted".to_owned(), remedy: GONE }
}

fn lost(error: &lapin::Error) -> BrokerFailure {
    BrokerFailure::of(error, Phase::Working)
}

/// Tells the broker, in few words.
async fn settle(channel: &Channel, ack_batcher: &mut AckBatcher, settled: &mut Vec<Settlement>) -> lapin::Result<()> {
    let settling = ack_batcher.settle(settled.drain(..));
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    try_join_all(settling.give_back.into_iter().map(|tag| channel.basic_nack(tag, requeue))).await?;
    if let Some(tag) = settling.acknowledge_up_to {
        channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
    }
    let single = BasicAckOptions::default();
    try_join_all(settling.acknowledge.into_iter().map(|tag| channel.basic_ack(tag, single))).await?;
    Ok(())
}
