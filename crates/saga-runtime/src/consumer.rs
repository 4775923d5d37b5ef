//! The ways in from the broker: every delivery goes into the mailbox.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use saga_support::{Backoff, millis};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, BrokerError, Receipt, Subscription},
    engine::{Mailbox, Participant},
    readiness::Readiness,
};

/// What is taken in.
#[derive(Debug, Clone)]
pub enum Source {
    /// The service's queue: at most `prefetch` deliveries are in the mailbox at a time, for it is the broker that holds the
    /// backlog. How it stands is reported to `readiness`.
    Queue {
        /// The most unacknowledged deliveries.
        prefetch: usize,
        /// Who wants to know.
        readiness: Readiness,
    },
    /// What the broker itself gave up on, to be parked beside what the engine gives up on. The service can do its work without.
    DeadLetters,
}

/// How many of the broker's dead letters are in the mailbox at a time. They are rare, and may be large.
const DEAD_LETTERS: usize = 16;

const CLOSED: &str = "the broker closed the connection";

/// Takes in everything from `source` until `stop`, through every loss of the broker.
pub async fn consume<P: Participant>(
    broker: Arc<dyn Broker>,
    mailbox: Mailbox<P>,
    source: Source,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::growing(Duration::from_millis(100), Duration::from_secs(3));
    loop {
        let (broken, reason) = match stop.run_until_cancelled(source.open(&*broker)).await {
            None => return,
            Some(Err(error)) => (error.to_string(), error.public_reason()),
            // This broker has none.
            Some(Ok(None)) => return stop.cancelled().await,
            Some(Ok(Some(deliveries))) => {
                source.report(Ok(()));
                backoff.reset();
                if stop.run_until_cancelled(take_in(deliveries, &mailbox)).await.is_none() {
                    return;
                }
                (CLOSED.to_owned(), CLOSED)
            }
        };
        source.report(Err(reason.to_owned()));
        let pause = backoff.next_pause();
        tracing::warn!(
            error = broken,
            pause_ms = millis(pause),
            "cannot {}; connecting again after a pause",
            source.purpose()
        );
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
            Self::DeadLetters => "take in the broker's dead letters",
        }
    }
}

/// Takes in all deliveries, until the connection ends. What belongs to another system is held for some time and then
/// given back, the oldest first; as all that is held is unacknowledged, there is never more of it than the prefetch.
/// (To give it back earlier would be no help: the broker delivers what comes back before everything else.)
async fn take_in<P: Participant>(mut deliveries: Subscription, mailbox: &Mailbox<P>) {
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
