use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use saga_database::Database;
use saga_message::MessageId;
use saga_support::{Backoff, millis};
use sea_orm::DbErr;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{in_flight::InFlight, outbox::Outbox, sweep::keep_sweeping};
use crate::{
    broker::{Broker, BrokerError, Outcome, Outgoing, Publisher},
    engine::{Intake, Mailbox, Participant},
    readiness::Readiness,
    shutdown::ShutdownStages,
    trace::MessageSpans,
};

/// Publishes what this replica has committed and what the sweep finds, and has the engine delete what the broker has
/// confirmed.
pub struct Relay {
    database: Database,
    broker: Arc<dyn Broker>,
    outbox: Arc<Outbox>,
    mailbox: Arc<dyn Intake>,
    readiness: Readiness,
    stop: ShutdownStages,
    in_flight: InFlight,
    /// The requests to the engine to delete messages.
    deletions: FuturesUnordered<BoxFuture<'static, Vec<MessageId>>>,
    spans: MessageSpans,
}

/// How many messages are read from the table at once. A message has at most about 64 KiB, so they have 4 MiB.
const PAGE: usize = 64;
/// Maximum number of outcomes that are recorded at once.
const OUTCOMES: usize = 4_096;
/// Confirmed messages are deleted together: once there are this many, or after [`DELETE_AFTER`].
const DELETE_AT: usize = 512;
/// How long a confirmed message waits for others before it is deleted.
const DELETE_AFTER: Duration = Duration::from_millis(100);

/// Why the connection to the broker was closed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the broker closed the connection")]
    Closed,
}

impl Broken {
    /// Returns a reason that may be shown in a health check; the full error is in the log.
    fn public_reason(&self) -> &'static str {
        match self {
            Self::Broker(error) => error.public_reason(),
            Self::Closed => "the broker closed the connection",
        }
    }
}

impl Relay {
    /// Creates the only relay of `outbox`.
    #[must_use]
    pub fn new<P: Participant>(
        database: Database,
        broker: Arc<dyn Broker>,
        outbox: Arc<Outbox>,
        mailbox: Mailbox<P>,
        readiness: Readiness,
        stop: ShutdownStages,
    ) -> Self {
        let (mailbox, in_flight, deletions) = (Arc::new(mailbox), InFlight::new(), FuturesUnordered::new());
        let spans = MessageSpans::default();
        Self { database, broker, outbox, mailbox, readiness, stop, in_flight, deletions, spans }
    }

    /// Starts spans with `spans`.
    #[must_use]
    pub(crate) fn with_spans(self, spans: MessageSpans) -> Self {
        Self { spans, ..self }
    }

    /// Works until `stop.work`, and reconnects whenever the connection to the broker is lost.
    pub async fn run(mut self) {
        let work = self.stop.work.clone();
        work.run_until_cancelled(self.keep_publishing()).await;
        // What is confirmed need not be published again after the next start.
        self.delete();
    }

    async fn keep_publishing(&mut self) {
        let mut backoff = Backoff::growing(Duration::from_millis(100), Duration::from_secs(3));
        let (database, broker, outbox) = (self.database.clone(), Arc::clone(&self.broker), Arc::clone(&self.outbox));
        loop {
            let broken = match self.meanwhile(broker.publisher()).await {
                Ok((mut publisher, mut outcomes)) => {
                    backoff.reset();
                    self.readiness.set("broker", Ok(()));
                    // The sweep ends with the connection: another replica may be able to reach the broker.
                    let broken = tokio::select! {
                        Err(broken) = self.session(&mut *publisher, &mut outcomes) => broken,
                        never = keep_sweeping(&database, &outbox) => match never {},
                    };
                    while let Ok(outcome) = outcomes.try_recv() {
                        self.in_flight.record(&outcome);
                    }
                    broken
                }
                Err(error) => error.into(),
            };
            self.readiness.set("broker", Err(broken.public_reason().to_owned()));
            outbox.connection_lost(self.in_flight.connection_lost());
            self.delete();
            let pause = backoff.next_pause();
            tracing::warn!(
                error = %broken, pause_ms = millis(pause), outbox = outbox.depth(),
                "cannot publish; connecting again after a pause"
            );
            self.meanwhile(tokio::time::sleep(pause)).await;
        }
    }

    /// Waits for `result` without a connection, and meanwhile for deletions.
    async fn meanwhile<T>(&mut self, result: impl Future<Output = T>) -> T {
        let mut result = std::pin::pin!(result);
        loop {
            tokio::select! {
                result = &mut result => return result,
                Some(deleted) = self.deletions.next() => self.outbox.done(&deleted),
            }
        }
    }

    /// Publishes over one connection until it breaks.
    async fn session(
        &mut self,
        publisher: &mut dyn Publisher,
        outcomes: &mut mpsc::UnboundedReceiver<Outcome>,
    ) -> Result<Infallible, Broken> {
        let outbox = Arc::clone(&self.outbox);
        let mut delete_at: Option<Instant> = None;
        let mut results: Vec<Outcome> = Vec::new();
        // The table is not read before this moment, because the last attempt failed.
        let (mut read_at, mut read_backoff) =
            (None, Backoff::growing(Duration::from_millis(100), Duration::from_secs(2)));
        loop {
            if read_at.is_none() && self.has_room_for_page() {
                match self.read_page().await {
                    Ok(page) => {
                        read_backoff.reset();
                        self.publish(publisher, page).await?;
                    }
                    Err(error) => {
                        let pause = read_backoff.next_pause();
                        let pause_ms = millis(pause);
                        tracing::warn!(%error, pause_ms, "the outbox cannot be read; trying again after a pause");
                        read_at = Some(Instant::now() + pause);
                    }
                }
            }
            let must_read = read_at.is_none() && outbox.has_to_read();
            let (messages, bytes) = self.in_flight.room();
            // Room for a page is kept free, so that new messages do not keep the others from being read.
            let messages = if must_read { messages.saturating_sub(PAGE) } else { messages };
            let handed_off = outbox.take_handed_off((messages, bytes));
            self.publish(publisher, handed_off).await?;
            let retry_at = self.in_flight.retry_at();
            tokio::select! {
                received = outcomes.recv_many(&mut results, OUTCOMES) => {
                    if received == 0 {
                        return Err(Broken::Closed);
                    }
                    for outcome in results.drain(..) {
                        self.in_flight.record(&outcome);
                    }
                    self.readiness.set("broker", self.in_flight.failure());
                    delete_at.get_or_insert_with(|| Instant::now() + DELETE_AFTER);
                }
                () = outbox.more() => {}
                () = std::future::ready(()), if must_read && self.has_room_for_page() => {}
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => read_at = None,
                Some(deleted) = self.deletions.next() => outbox.done(&deleted),
                () = sleep_until(delete_at.unwrap_or_else(Instant::now)), if delete_at.is_some() => {
                    delete_at = None;
                    self.delete();
                }
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    outbox.read_again(self.in_flight.end_delay());
                }
            }
            if self.in_flight.confirmed() >= DELETE_AT {
                delete_at = None;
                self.delete();
            }
        }
    }

    fn has_room_for_page(&self) -> bool {
        let (messages, bytes) = self.in_flight.room();
        messages >= PAGE && bytes > 0
    }

    async fn read_page(&mut self) -> Result<Vec<Outgoing>, DbErr> {
        let messages = self.outbox.take_to_read(PAGE);
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let page = self.outbox.find(&self.database, &messages).await;
        if page.is_err() {
            self.outbox.read_again(messages);
        }
        page
    }

    async fn publish(&mut self, publisher: &mut dyn Publisher, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        if messages.is_empty() {
            return Ok(());
        }
        for message in &messages {
            let span = self.spans.send(message, |body| self.mailbox.traceparents(body));
            self.in_flight.enter(message, span);
        }
        publisher.publish(messages).await
    }

    fn delete(&mut self) {
        let messages = self.in_flight.take_confirmed();
        if messages.is_empty() {
            return;
        }
        let deleted = self.mailbox.confirmed(messages.clone());
        // If the engine drops the request, the rows stay, and the sweep finds them.
        self.deletions.push(Box::pin(deleted.map(|_| messages)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_read_tells_no_address() {
        let address = "amqp://order@rabbit.internal:5672/orders".to_owned();
        let broker = BrokerError::Unreachable(address);
        for broken in [Broken::Broker(broker), Broken::Closed] {
            let public = broken.public_reason();
            assert!(!public.contains("://") && !public.contains("order"), "{public}");
        }
    }
}
