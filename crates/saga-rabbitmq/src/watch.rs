//! How a queue stands, looked at now and then over the connection that consumes it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Connection, Queue, options::QueueDeclareOptions, types::FieldTable};
use tokio::time::{MissedTickBehavior, interval};

use saga_runtime::broker::QueueStats;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// What was last seen of a queue; nothing while nobody is connected. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueWatch(Arc<Mutex<Option<QueueStats>>>);

impl QueueWatch {
    pub(crate) fn last(&self) -> Option<QueueStats> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, figures: Option<QueueStats>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Looks at `queue` until it is dropped, on a channel of its own: a declaration that fails closes its channel, and with
    /// it whatever else the channel does.
    pub(crate) async fn run(self, connection: &Connection, queue: &str) -> Infallible {
        let _forget = Forget(&self);
        let mut channel = None;
        let mut looks = interval(PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match look(connection, &mut channel, queue).await {
                Ok(queue) => self.set(Some(QueueStats {
                    ready: queue.message_count().into(),
                    consumers: queue.consumer_count().into(),
                })),
                Err(error) => {
                    tracing::debug!(%error, queue, "the broker does not say how the queue stands");
                    channel = None;
                    self.set(None);
                }
            }
        }
    }
}

/// Declared passively, a queue tells its figures, and nothing is made.
async fn look(connection: &Connection, channel: &mut Option<Channel>, queue: &str) -> lapin::Result<Queue> {
    let channel = match channel {
        Some(channel) => channel,
        None => channel.insert(connection.create_channel().await?),
    };
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await
}

/// What was seen over a connection is worth nothing after it.
struct Forget<'a>(&'a QueueWatch);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
