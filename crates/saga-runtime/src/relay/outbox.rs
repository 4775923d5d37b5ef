use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use saga_database::{Database, find_by, tables::outbox};
use saga_message::{MessageId, ServiceSpec, framing};
use sea_orm::{DbErr, EntityTrait, PaginatorTrait, QueryOrder, QuerySelect};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::broker::Outgoing;

/// What the engine passes to the relay about the outbox table: how many events it contains, and which were just
/// committed, so that the relay need not read them back. Only the table is authoritative: whatever is lost here is
/// found there.
#[derive(Debug)]
pub struct Outbox {
    /// The service whose outbox it is.
    service: ServiceSpec,
    depth: AtomicU64,
    /// How many events were committed since the start, and how many deleted.
    added: AtomicU64,
    deleted: AtomicU64,
    /// Whether another replica publishes.
    is_follower: AtomicBool,
    emptied: Notify,
    hand_off: mpsc::Sender<Vec<Outgoing>>,
    receiver: Mutex<Option<mpsc::Receiver<Vec<Outgoing>>>>,
    overflowed: AtomicBool,
    overflow: Notify,
}

/// How many commits may wait for the relay before it has to read them from the table.
const HAND_OFFS: usize = 64;

impl Outbox {
    /// Opens the outbox of `service`, and counts the events in the table.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn open(database: &Database, service: ServiceSpec) -> Result<Arc<Self>, DbErr> {
        let depth = count(database).await?;
        let (hand_off, receiver) = mpsc::channel(HAND_OFFS);
        Ok(Arc::new(Self {
            service,
            depth: AtomicU64::new(depth),
            added: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            is_follower: AtomicBool::new(false),
            emptied: Notify::new(),
            hand_off,
            receiver: Mutex::new(Some(receiver)),
            overflowed: AtomicBool::new(false),
            overflow: Notify::new(),
        }))
    }

    /// Returns how many events are committed and not yet confirmed by the broker.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.depth.load(Ordering::Acquire)
    }

    /// Resolves when no event is left to publish.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.depth() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Resolves when the events that are present now are published, or at once if another replica publishes. More
    /// events may be added meanwhile.
    pub async fn flushed(&self) {
        let goal = self.deleted.load(Ordering::Acquire) + self.depth();
        loop {
            let emptied = self.emptied.notified();
            let done = self.depth() == 0 || self.deleted.load(Ordering::Acquire) >= goal;
            if done || self.is_follower.load(Ordering::Acquire) {
                return;
            }
            emptied.await;
        }
    }

    /// Sets whether another replica publishes.
    pub(super) fn set_follower(&self, is_follower: bool) {
        self.is_follower.store(is_follower, Ordering::Release);
        self.emptied.notify_waiters();
    }

    /// Sets the number of events in the table, including those of other replicas. Events that are being committed at
    /// this moment may be missing until the next count.
    pub(super) fn counted(&self, depth: u64) {
        self.depth.store(depth, Ordering::Release);
        if depth == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Returns how many events were committed since the start. If it has not changed, an empty outbox has been empty in
    /// between.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added.load(Ordering::Acquire)
    }

    /// Records that these events were committed, and that `deleted` confirmed ones were deleted.
    pub(crate) fn committed(&self, outgoing: Vec<Outgoing>, deleted: u64) {
        let added = outgoing.len() as u64;
        if added > 0 {
            self.added.fetch_add(added, Ordering::AcqRel);
            self.depth.fetch_add(added, Ordering::AcqRel);
            // If older events are still to be read from the table, a newer one that was handed off would overtake them.
            if self.overflowed.load(Ordering::Acquire) || self.hand_off.try_send(outgoing).is_err() {
                self.overflowed.store(true, Ordering::Release);
                self.overflow.notify_one();
            }
        }
        // `deleted` may include events that were never counted here, from a commit whose success went unnoticed.
        let left = |depth: u64| Some(depth.saturating_sub(deleted));
        let _ = self.depth.fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        self.deleted.fetch_add(deleted, Ordering::AcqRel);
        if deleted > 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Takes the relay's end of the hand-off. There is one relay.
    pub(super) fn take_receiver(&self) -> Option<mpsc::Receiver<Vec<Outgoing>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns whether something was committed since the last call that was not handed off.
    pub(super) fn take_overflow(&self) -> bool {
        self.overflowed.swap(false, Ordering::AcqRel)
    }

    /// Resolves when something was committed that was not handed off.
    pub(super) async fn overflow(&self) {
        self.overflow.notified().await;
    }

    /// Returns those of these events that are still in the outbox, the oldest first.
    pub(super) async fn find(&self, database: &Database, messages: Vec<Uuid>) -> Result<Vec<Outgoing>, DbErr> {
        let keys = messages.into_iter().map(Into::into).collect();
        let reader = database.internal_reader();
        let mut rows = database
            .with_timeout(TIMEOUT, find_by::<outbox::Entity, _>(&reader, outbox::Column::MessageId, keys))
            .await?;
        rows.sort_unstable_by_key(|row| row.message_id);
        Ok(rows.into_iter().filter_map(|row| self.outgoing(row)).collect())
    }

    /// Returns the oldest events of the outbox, at most `limit`.
    pub(super) async fn oldest(&self, database: &Database, limit: u64) -> Result<Vec<Outgoing>, DbErr> {
        let reader = database.internal_reader();
        let rows = outbox::Entity::find().order_by_asc(outbox::Column::MessageId).limit(limit).all(&reader);
        let rows = database.with_timeout(TIMEOUT, rows).await?;
        Ok(rows.into_iter().filter_map(|row| self.outgoing(row)).collect())
    }

    fn outgoing(&self, row: outbox::Model) -> Option<Outgoing> {
        let route = self.service.route(&row.routing_key);
        if route.is_none() {
            tracing::error!(
                message.id = %row.message_id, routing_key = row.routing_key,
                "the outbox holds an event that the flow table does not know"
            );
        }
        Some(Outgoing {
            message_id: MessageId(row.message_id),
            route: route?,
            correlation_id: Some(row.saga_id).filter(|saga| !saga.is_nil()),
            events: framing::split(row.body.as_bytes()).map_or(1, |events| events.len()),
            body: Arc::from(row.body),
        })
    }
}

/// Counts the events in the outbox.
pub(super) async fn count(database: &Database) -> Result<u64, DbErr> {
    database.with_timeout(TIMEOUT, outbox::Entity::find().count(&database.internal_reader())).await
}

/// Time limit for reading the outbox.
const TIMEOUT: Duration = Duration::from_secs(20);
