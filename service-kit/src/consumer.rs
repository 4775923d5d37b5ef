//! The ways in from the broker: every delivery goes into the mailbox.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, Subscription},
    engine::{Mailbox, Participant},
    http::Readiness,
    retry::Pauses,
};

/// Consumes the service's queue until `stop`, through every loss of the broker. At most `prefetch` deliveries are in the
/// mailbox at a time: it is the broker that holds the backlog.
pub async fn consume<P: Participant>(
    broker: Arc<dyn Broker>,
    mailbox: Mailbox<P>,
    prefetch: usize,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut pauses = pauses();
    loop {
        let broken = match stop.run_until_cancelled(broker.subscribe(prefetch)).await {
            None => return,
            Some(Err(error)) => error.to_string(),
            Some(Ok(deliveries)) => {
                readiness.set("queue", Ok(()));
                pauses.reset();
                if stop.run_until_cancelled(take_in(deliveries, &mailbox)).await.is_none() {
                    return;
                }
                CLOSED.to_owned()
            }
        };
        readiness.set("queue", Err(broken.clone()));
        let pause = pauses.next_pause();
        tracing::warn!(error = broken, pause_ms = pause.as_millis(), "cannot consume; connecting again after a pause");
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// How many of the broker's dead letters are in the mailbox at a time. They are rare, and may be large.
const DEAD_LETTERS: usize = 16;

/// Takes in what the broker itself gave up on, until `stop`, so that it is parked beside what the engine gives up on. The
/// service can do its work without: readiness does not depend on it.
pub async fn consume_dead_letters<P: Participant>(
    broker: Arc<dyn Broker>,
    mailbox: Mailbox<P>,
    stop: CancellationToken,
) {
    let mut pauses = pauses();
    loop {
        let broken = match stop.run_until_cancelled(broker.dead_letters(DEAD_LETTERS)).await {
            None => return,
            Some(Err(error)) => error.to_string(),
            // This broker has none.
            Some(Ok(None)) => return stop.cancelled().await,
            Some(Ok(Some(deliveries))) => {
                pauses.reset();
                if stop.run_until_cancelled(take_in(deliveries, &mailbox)).await.is_none() {
                    return;
                }
                CLOSED.to_owned()
            }
        };
        let pause = pauses.next_pause();
        tracing::warn!(
            error = broken,
            pause_ms = pause.as_millis(),
            "cannot take in the broker's dead letters; connecting again after a pause"
        );
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

const CLOSED: &str = "the broker closed the connection";

fn pauses() -> Pauses {
    Pauses::growing(Duration::from_millis(100), Duration::from_secs(3))
}

/// Takes in all deliveries, until the connection ends.
async fn take_in<P: Participant>(mut deliveries: Subscription, mailbox: &Mailbox<P>) {
    while let Some(delivery) = deliveries.recv().await {
        mailbox.deliver(delivery);
    }
}
