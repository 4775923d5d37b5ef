//! Consumes from the broker: every delivery is put into the mailbox.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use saga_support::{Backoff, millis};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, BrokerError, Receipt, Subscription},
    engine::{Intake, Mailbox, Participant},
    readiness::Readiness,
};

/// What to consume.
#[derive(Debug, Clone)]
pub enum Source {
    /// The service's queue. At most `prefetch` deliveries are in the mailbox at the same time; the backlog stays at the
    /// broker. The state of the connection is reported to `readiness`.
    Queue {
        /// Maximum number of unacknowledged deliveries.
        prefetch: usize,
        /// Where the state of the connection is reported, as `queue`.
        readiness: Readiness,
    },
    /// The messages that the broker itself has dead-lettered. They are stored with the engine's dead letters. The
    /// service can work without them.
    DeadLetters,
}

/// How many of the broker's dead letters are in the mailbox at the same time. They are rare, and may be large.
const DEAD_LETTERS: usize = 16;

const CLOSED: &str = "the broker closed the connection";

/// Consumes `source` until `stop`, and reconnects whenever the connection to the broker is lost.
pub async fn consume<P: Participant>(
    broker: Arc<dyn Broker>,
    mailbox: Mailbox<P>,
    source: Source,
    stop: CancellationToken,
) {
    consume_into(broker, &mailbox, source, stop).await;
}

async fn consume_into(broker: Arc<dyn Broker>, mailbox: &dyn Intake, source: Source, stop: CancellationToken) {
    let mut backoff = Backoff::growing(Duration::from_millis(100), Duration::from_secs(3));
    loop {
        let (error, reason) = match stop.run_until_cancelled(source.open(&*broker)).await {
            None => return,
            Some(Err(error)) => (error.to_string(), error.public_reason()),
            // This broker has no dead letters.
            Some(Ok(None)) => return stop.cancelled().await,
            Some(Ok(Some(deliveries))) => {
                source.report(Ok(()));
                backoff.reset();
                if stop.run_until_cancelled(consume_deliveries(deliveries, mailbox)).await.is_none() {
                    return;
                }
                (CLOSED.to_owned(), CLOSED)
            }
        };
        source.report(Err(reason.to_owned()));
        let pause = backoff.next_pause();
        tracing::warn!(error, pause_ms = millis(pause), "cannot {}; connecting again after a pause", source.purpose());
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

impl Source {
    async fn open(&self, broker: &dyn Broker) -> Result<Option<Subscription>, BrokerError> {
        match self {
            Self::Queue { prefetch, .. } => broker.subscribe(*prefetch).await.map(Some),
            Self::DeadLetters => broker.dead_letters(DEAD_LETTERS).await,
        }
    }

    fn report(&self, state: Result<(), String>) {
        if let Self::Queue { readiness, .. } = self {
            readiness.set("queue", state);
        }
    }

    fn purpose(&self) -> &'static str {
        match self {
            Self::Queue { .. } => "consume",
            Self::DeadLetters => "consume the broker's dead letters",
        }
    }
}

/// Puts all deliveries into the mailbox until the connection ends. Those of another system are held for some time, and
/// then returned to the queue, the oldest first. All held deliveries are unacknowledged, so there are never more of
/// them than the prefetch. (Returning them earlier would not help, because the broker delivers returned messages before
/// all others.)
async fn consume_deliveries(mut deliveries: Subscription, mailbox: &dyn Intake) {
    let mut held: VecDeque<(Instant, Receipt)> = VecDeque::new();
    loop {
        let next = held.front().map(|(until, _)| *until);
        tokio::select! {
            delivery = deliveries.recv() => {
                let Some(delivery) = delivery else { return };
                let foreign = mailbox.deliver(delivery);
                held.extend(foreign.map(|receipt| (Instant::now() + mailbox.hold(), receipt)));
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => drop(held.pop_front()),
        }
    }
}
