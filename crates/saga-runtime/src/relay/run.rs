use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use saga_database::{Database, RelayLock, Topic};
use saga_message::MessageId;
use saga_support::{Backoff, millis};
use sea_orm::DbErr;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use uuid::Uuid;

use super::{
    in_flight::InFlight,
    outbox::{Outbox, count},
};
use crate::{
    broker::{Broker, BrokerError, Outcome, Outgoing, Publication, Publisher},
    engine::{Intake, Mailbox, Participant},
    readiness::Readiness,
    shutdown::ShutdownStages,
};

/// Publishes the events in the outbox, and has the engine delete those that the broker has confirmed.
pub struct Relay {
    database: Database,
    broker: Arc<dyn Broker>,
    outbox: Arc<Outbox>,
    committed: mpsc::Receiver<Vec<Outgoing>>,
    /// The ids of events that other replicas have committed.
    notices: Option<mpsc::Receiver<Vec<Uuid>>>,
    mailbox: Arc<dyn Intake>,
    readiness: Readiness,
    stop: ShutdownStages,
}

/// Maximum number of events that are published and not yet confirmed.
const WINDOW: usize = 4_096;
/// Confirmed events are deleted together: once there are this many, or after [`DELETE_AFTER`].
const DELETE_AT: usize = 512;
/// How long a confirmed event waits for others before it is deleted.
const DELETE_AFTER: Duration = Duration::from_millis(100);
/// The interval for polling the table, for events that were not handed off: those of a replica that crashed, for
/// example.
const POLL: Duration = Duration::from_secs(2);
/// How often a replica that does not publish tries to take over.
const TAKE_OVER: Duration = Duration::from_secs(1);

/// Why the connection to the broker was closed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the broker closed the connection")]
    Closed,
    #[error("the relay lock was lost, because the database does not answer")]
    RelayLock,
}

impl Broken {
    /// Returns a reason that may be shown in a health check; the full error is in the log.
    fn public_reason(&self) -> &'static str {
        match self {
            Self::Broker(error) => error.public_reason(),
            Self::Closed => "the broker closed the connection",
            Self::RelayLock => "the relay lock was lost, because the database does not answer",
        }
    }
}

impl Relay {
    /// Creates the only relay of `outbox`.
    ///
    /// # Panics
    /// If the outbox has a relay already.
    #[must_use]
    pub fn new<P: Participant>(
        database: Database,
        broker: Arc<dyn Broker>,
        outbox: Arc<Outbox>,
        mailbox: Mailbox<P>,
        readiness: Readiness,
        stop: ShutdownStages,
    ) -> Self {
        let committed = outbox.take_receiver().expect("an outbox has one relay");
        let notices = database.replica_bus().subscribe(Topic::Outbox);
        let mailbox = Arc::new(mailbox);
        Self { database, broker, outbox, committed, notices, mailbox, readiness, stop }
    }

    /// Works until `stop.work`, and reconnects whenever the connection to the broker is lost.
    pub async fn run(mut self) {
        let mut backoff = Backoff::growing(Duration::from_millis(100), Duration::from_secs(3));
        loop {
            let work = self.stop.work.clone();
            let Some(lock) = work.run_until_cancelled(self.acquire_relay_lock()).await else { return };
            let broken = match work.run_until_cancelled(self.broker.publisher()).await {
                Some(Ok(publication)) => {
                    backoff.reset();
                    self.readiness.set("broker", Ok(()));
                    match self.session(publication, &lock).await {
                        Ok(()) => return,
                        Err(broken) => broken,
                    }
                }
                Some(Err(error)) => error.into(),
                None => return,
            };
            // Another replica may be able to reach the broker.
            drop(lock);
            self.readiness.set("broker", Err(broken.public_reason().to_owned()));
            let pause = backoff.next_pause();
            tracing::warn!(
                error = %broken, pause_ms = millis(pause), outbox = self.outbox.depth(),
                "cannot publish; connecting again after a pause"
            );
            if work.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Waits until this replica is the one that publishes. Meanwhile it notifies the one that does about what is
    /// committed here.
    async fn acquire_relay_lock(&mut self) -> RelayLock {
        let mut tries = interval(TAKE_OVER);
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tries.tick() => match self.database.acquire_relay_lock().await {
                    Ok(Some(lock)) => {
                        self.outbox.set_follower(false);
                        return lock;
                    }
                    Ok(None) => {
                        self.outbox.set_follower(true);
                        // Whether the broker is reachable is the other replica's concern.
                        self.readiness.set("broker", Ok(()));
                        if let Ok(depth) = count(&self.database).await {
                            self.outbox.counted(depth);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the relay lock could not be requested"),
                },
                Some(committed) = self.committed.recv() => {
                    let messages = committed.iter().map(|message| message.message_id.0);
                    self.database.replica_bus().notify(Topic::Outbox, messages);
                }
                // The other replica polls the table anyway.
                () = self.outbox.overflow() => drop(self.outbox.take_overflow()),
                _ = next(&mut self.notices) => {}
            }
        }
    }

    /// Publishes over one connection until it breaks, the lock is lost, or `stop.work`.
    async fn session(&mut self, (mut publisher, mut outcomes): Publication, lock: &RelayLock) -> Result<(), Broken> {
        let work = self.stop.work.clone();
        let mut in_flight = InFlight::new();
        let mut deletions: FuturesUnordered<BoxFuture<'static, Vec<MessageId>>> = FuturesUnordered::new();
        let mut delete_at: Option<Instant> = None;
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut results: Vec<Outcome> = Vec::new();
        // Whether the table may contain events that are neither in flight nor handed off.
        let mut behind = true;
        // The table is not read before this moment, because the last attempt failed.
        let (mut read_at, mut read_backoff) =
            (None, Backoff::growing(Duration::from_millis(100), Duration::from_secs(2)));
        loop {
            if in_flight.unconfirmed() < WINDOW {
                if self.outbox.take_overflow() {
                    behind = true;
                }
                if behind && read_at.is_none() {
                    match self.next_page(&mut in_flight, &mut behind).await {
                        Ok(page) => {
                            read_backoff.reset();
                            publish(&mut *publisher, page, &work).await?;
                        }
                        Err(error) => {
                            let pause = read_backoff.next_pause();
                            let pause_ms = millis(pause);
                            tracing::warn!(%error, pause_ms, "the outbox cannot be read; trying again after a pause");
                            read_at = Some(Instant::now() + pause);
                        }
                    }
                }
            }
            let retry_at = in_flight.retry_at();
            tokio::select! {
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => read_at = None,
                committed = self.committed.recv(), if !behind && in_flight.unconfirmed() < WINDOW => {
                    let Some(mut committed) = committed else { return Ok(()) };
                    while let Ok(mut more) = self.committed.try_recv() {
                        committed.append(&mut more);
                        if committed.len() >= WINDOW { break }
                    }
                    let committed = in_flight.enter(committed);
                    publish(&mut *publisher, committed, &work).await?;
                }
                messages = next(&mut self.notices), if !behind && in_flight.unconfirmed() < WINDOW => {
                    match self.outbox.find(&self.database, messages).await {
                        Ok(theirs) => publish(&mut *publisher, in_flight.enter(theirs), &work).await?,
                        Err(error) => {
                            tracing::debug!(%error, "what another replica committed cannot be read");
                            behind = true;
                        }
                    }
                }
                received = outcomes.recv_many(&mut results, WINDOW) => {
                    if received == 0 {
                        return Err(Broken::Closed);
                    }
                    for outcome in results.drain(..) {
                        in_flight.record(&outcome);
                    }
                    self.readiness.set("broker", in_flight.failure());
                    delete_at.get_or_insert_with(|| Instant::now() + DELETE_AFTER);
                }
                Some(deleted) = deletions.next() => in_flight.deleted(&deleted),
                () = sleep_until(delete_at.unwrap_or_else(Instant::now)), if delete_at.is_some() => {
                    delete_at = None;
                    self.delete(&mut in_flight, &deletions);
                }
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    in_flight.end_delay();
                    behind = true;
                }
                () = self.outbox.overflow() => behind = true,
                _ = poll.tick() => {
                    behind = true;
                    if self.notices.is_some()
                        && let Ok(depth) = count(&self.database).await
                    {
                        self.outbox.counted(depth);
                    }
                }
                () = lock.lost() => return Err(Broken::RelayLock),
                () = work.cancelled() => return Ok(()),
            }
            if in_flight.confirmed() >= DELETE_AT {
                delete_at = None;
                self.delete(&mut in_flight, &deletions);
            }
        }
    }

    fn delete(&self, in_flight: &mut InFlight, deletions: &FuturesUnordered<BoxFuture<'static, Vec<MessageId>>>) {
        let messages = in_flight.take_confirmed();
        if messages.is_empty() {
            return;
        }
        let deleted = self.mailbox.confirmed(messages.clone());
        // If the engine drops the request, the rows stay and are published again.
        deletions.push(deleted.map(|_| messages).boxed());
    }

    /// Returns the oldest events of the table that are not in flight. Everything handed off up to now is in the table
    /// too, so the hand-offs are emptied first; what comes later is handed off after this page.
    async fn next_page(&mut self, in_flight: &mut InFlight, behind: &mut bool) -> Result<Vec<Outgoing>, DbErr> {
        while self.committed.try_recv().is_ok() {}
        let limit = WINDOW + in_flight.len();
        let page = self.outbox.oldest(&self.database, limit as u64).await?;
        *behind = page.len() >= limit;
        Ok(in_flight.enter(page))
    }
}

/// Waits for the next events that another replica has committed.
async fn next(notices: &mut Option<mpsc::Receiver<Vec<Uuid>>>) -> Vec<Uuid> {
    match notices {
        Some(notices) => match notices.recv().await {
            Some(messages) => messages,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Publishes, unless the relay is to stop; then what is not published stays in the outbox.
async fn publish(
    publisher: &mut dyn Publisher,
    messages: Vec<Outgoing>,
    work: &tokio_util::sync::CancellationToken,
) -> Result<(), BrokerError> {
    if messages.is_empty() {
        return Ok(());
    }
    work.run_until_cancelled(publisher.publish(messages)).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_read_tells_no_address() {
        let address = "amqp://order@rabbit.internal:5672/orders".to_owned();
        let broker = BrokerError::Unreachable(address);
        for broken in [Broken::Broker(broker), Broken::Closed, Broken::RelayLock] {
            let public = broken.public_reason();
            assert!(!public.contains("://") && !public.contains("order"), "{public}");
        }
    }
}
