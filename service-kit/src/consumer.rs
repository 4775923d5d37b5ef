//! The way in from the broker: every delivery goes into the mailbox.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    broker::Broker,
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
    let mut pauses = Pauses::growing(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        let broken = match stop.run_until_cancelled(broker.subscribe(prefetch)).await {
            None => return,
            Some(Err(error)) => error.to_string(),
            Some(Ok(mut deliveries)) => {
                readiness.set("queue", Ok(()));
                pauses.reset();
                loop {
                    match stop.run_until_cancelled(deliveries.recv()).await {
                        None => return,
                        Some(Some(delivery)) => mailbox.deliver(delivery),
                        Some(None) => break,
                    }
                }
                "the broker closed the connection".to_owned()
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
