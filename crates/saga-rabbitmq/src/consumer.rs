//! Consumes a queue over one channel and settles its deliveries.

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

/// Maximum number of settlements that are combined in one step.
const AT_ONCE: usize = 4_096;

/// The queue to consume, and how.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) queue: &'a str,
    /// The exchanges and bindings through which it gets its messages.
    pub(crate) topology: &'a Topology,
    /// The consumer tag, which operators see in the management UI.
    pub(crate) tag: &'a str,
    /// Converts an AMQP message into a delivery.
    pub(crate) read: Reading,
    /// Where to report the queue's statistics.
    pub(crate) watch: Option<&'a QueueWatch>,
}

/// Starts to consume on `connection`, which leads to the broker at `address`, with at most `prefetch` unsettled
/// deliveries.
pub(crate) async fn start(
    connection: Connection,
    address: String,
    source: Source<'_>,
    prefetch: usize,
    tasks: &TaskTracker,
) -> lapin::Result<Subscription> {
    let Source { queue, topology, tag, read, watch } = source;
    // In AMQP, a prefetch of 0 means unlimited.
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
            failure = watched => Err(failure),
        };
        if let Err(failure) = ended {
            tracing::warn!(error = %failure.at(&address), "the connection to the broker for consuming is lost");
        }
        close(connection).await;
    });
    Ok(subscription)
}

/// The state of consuming on one connection.
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
    /// Runs until the subscriber is dropped and everything that it received is settled. Returns an error if the
    /// connection is lost.
    async fn run(mut self) -> Result<(), BrokerFailure> {
        let mut settled = Vec::new();
        loop {
            tokio::select! {
                message = self.consumer.next() => match message {
                    Some(Ok(message)) => self.deliver(message),
                    Some(Err(error)) => return Err(lost(&error)),
                    None => return Err(gone()),
                },
                // This channel never closes, because `self.settle` is a sender of it.
                _ = self.settlements.recv_many(&mut settled, AT_ONCE) => {
                    settle(&self.channel, &mut self.ack_batcher, &mut settled).await.map_err(|error| lost(&error))?;
                }
                () = self.deliveries.closed() => return self.finish().await.map_err(|error| lost(&error)),
            }
        }
    }

    fn deliver(&self, message: lapin::message::Delivery) {
        let receipt = Receipt::new(message.delivery_tag, self.settle.clone());
        // The channel has room: it holds as many deliveries as the prefetch allows, and the broker sends no more than
        // that. If the subscriber is gone, the dropped delivery is given back through its receipt.
        let _ = self.deliveries.try_send((self.read)(message, receipt));
    }

    /// Called when the subscriber is gone: gives back what it did not receive, and settles the rest as it is handled.
    async fn finish(self) -> lapin::Result<()> {
        let Self { channel, mut consumer, settle: ours, mut settlements, mut ack_batcher, .. } = self;
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        // The stream still yields the messages that arrived before the consumer was cancelled.
        while let Some(message) = consumer.next().await {
            drop(Receipt::new(message?.delivery_tag, ours.clone()));
        }
        // From here on, only the outstanding receipts keep the settlements channel open.
        drop(ours);
        let mut settled = Vec::new();
        while settlements.recv_many(&mut settled, AT_ONCE).await > 0 {
            settle(&channel, &mut ack_batcher, &mut settled).await?;
        }
        // The broker's answer confirms that it has processed the last acknowledgements. RabbitMQ 4 forgets some of
        // those that are still on their way to the queue when the connection is closed, and delivers these messages
        // again.
        channel.close(200, "OK".into()).await
    }
}

fn gone() -> BrokerFailure {
    BrokerFailure::Wrong { wrong: "it ended the consumer, as it does when a queue is deleted".to_owned(), remedy: GONE }
}

fn lost(error: &lapin::Error) -> BrokerFailure {
    BrokerFailure::of(error, Phase::Working)
}

/// Sends the settlements to the broker in as few frames as possible.
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
