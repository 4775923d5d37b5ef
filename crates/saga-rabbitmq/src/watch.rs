//! Reads a queue's statistics at an interval, over the connection that consumes it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Connection, Queue, options::QueueDeclareOptions, types::FieldTable};
use tokio::time::{MissedTickBehavior, interval};

use super::failure::BrokerFailure;
use saga_runtime::broker::QueueStats;

/// How often the statistics are read.
const PERIOD: Duration = Duration::from_secs(5);

/// The latest statistics of a queue; `None` while no consumer is connected. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueWatch(Arc<Mutex<Option<QueueStats>>>);

impl QueueWatch {
    pub(crate) fn last(&self) -> Option<QueueStats> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stats: Option<QueueStats>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// Reads the statistics of `queue`, until it has had no consumer for a whole period: the broker has forgotten the
    /// one on this connection, and has not told it. (RabbitMQ does that if a queue is deleted and declared again at the
    /// same time.) It uses a separate channel, because a declaration that fails closes its channel and everything else
    /// on it.
    pub(crate) async fn run(self, connection: &Connection, queue: &str) -> BrokerFailure {
        let _clear = ClearOnDrop(&self);
        let (mut channel, mut was_consumed) = (None, true);
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match read_stats(connection, &mut channel, queue).await {
                Ok(queue) => {
                    let (ready, consumers) = (queue.message_count().into(), queue.consumer_count().into());
                    self.set(Some(QueueStats { ready, consumers }));
                    if consumers == 0 && !was_consumed {
                        return BrokerFailure::Failed(
                            "it has forgotten that this service consumes its queue".to_owned(),
                        );
                    }
                    was_consumed = consumers > 0;
                }
                Err(error) => {
                    tracing::debug!(%error, queue, "the broker did not report the queue's statistics");
                    channel = None;
                    self.set(None);
                }
            }
        }
    }
}

/// A passive declaration returns the queue's statistics and creates nothing.
async fn read_stats(connection: &Connection, channel: &mut Option<Channel>, queue: &str) -> lapin::Result<Queue> {
    let channel = match channel {
        Some(channel) => channel,
        None => channel.insert(connection.create_channel().await?),
    };
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await
}

/// Clears the statistics when the connection ends.
struct ClearOnDrop<'a>(&'a QueueWatch);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
