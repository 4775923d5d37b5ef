use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use saga_database::{Database, find_by, tables::outbox};
use saga_message::{MessageId, ServiceSpec};
use sea_orm::{DbErr, EntityTrait, PaginatorTrait, QueryOrder, QuerySelect};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::broker::Outgoing;

/// What the engine tells the relay about the outbox table: how deep it is, and what was just committed, so that the relay
/// need not read it back. The table alone counts: whatever is lost here is found there.
#[derive(Debug)]
pub struct Outbox {
    /// Whose outbox it is.
    service: ServiceSpec,
    depth: AtomicU64,
    /// How many events were committed since the start, and how many deleted.
    added: AtomicU64,
    deleted: AtomicU64,
    /// Another replica publishes.
    is_follower: AtomicBool,
    emptied: Notify,
    fresh: mpsc::Sender<Vec<Outgoing>>,
    receiver: Mutex<Option<mpsc::Receiver<Vec<Outgoing>>>>,
    overflowed: AtomicBool,
    overflow: Notify,
}

/// How many commits may wait for the relay before it has to read them from the table.
const HAND_OFFS: usize = 64;

impl Outbox {
    /// The outbox of `service` in this database, as deep as it is.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn open(database: &Database, service: ServiceSpec) -> Result<Arc<Self>, DbErr> {
        let depth = count(database).await?;
        let (fresh, receiver) = mpsc::channel(HAND_OFFS);
        Ok(Arc::new(Self {
            service,
            depth: AtomicU64::new(depth),
            added: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            is_follower: AtomicBool::new(false),
            emptied: Notify::new(),
            fresh,
            receiver: Mutex::new(Some(receiver)),
            overflowed: AtomicBool::new(false),
            overflow: Notify::new(),
        }))
    }

    /// How many events are committed and not yet confirmed by the broker.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.depth.load(Ordering::Acquire)
    }

    /// Resolves when nothing is left to be published.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.depth() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Resolves when what is there now is published: at once where another replica does that. More may come in meanwhile.
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

    /// Whether another replica publishes.
    pub(super) fn set_follower(&self, is_follower: bool) {
        self.is_follower.store(is_follower, Ordering::Release);
        self.emptied.notify_waiters();
    }

    /// So many events are in the table, those of other replicas included. What is committed at this moment may be missing,
    /// until it is counted again.
    pub(super) fn counted(&self, depth: u64) {
        self.depth.store(depth, Ordering::Release);
        if depth == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// How many events were committed since the start: whether an outbox that is empty has been so since.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added.load(Ordering::Acquire)
    }

    /// These events were committed, and so many confirmed ones deleted.
    pub(crate) fn committed(&self, outgoing: Vec<Outgoing>, deleted: u64) {
        let added = outgoing.len() as u64;
        if added > 0 {
            self.added.fetch_add(added, Ordering::AcqRel);
            self.depth.fetch_add(added, Ordering::AcqRel);
            // As long as the relay has yet to read older ones from the table, a newer one handed off would overtake them.
            if self.overflowed.load(Ordering::Acquire) || self.fresh.try_send(outgoing).is_err() {
                self.overflowed.store(true, Ordering::Release);
                self.overflow.notify_one();
            }
        }
        // The deleted may be events that were never counted here, of a commit whose success went unnoticed.
        let left = |depth: u64| Some(depth.saturating_sub(deleted));
        let _ = self.depth.fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        self.deleted.fetch_add(deleted, Ordering::AcqRel);
        if deleted > 0 {
            self.emptied.notify_waiters();
        }
    }

    /// The relay's end of the hand-off. There is one relay.
    pub(super) fn take_receiver(&self) -> Option<mpsc::Receiver<Vec<Outgoing>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether something was committed, since the last call, that was not handed off.
    pub(super) fn take_overflow(&self) -> bool {
        self.overflowed.swap(false, Ordering::AcqRel)
    }

    /// Resolves when something was committed that was not handed off.
    pub(super) async fn overflow(&self) {
        self.overflow.notified().await;
    }

    /// Those of these events that are still in the outbox, the oldest first.
    pub(super) async fn these(&self, database: &Database, messages: Vec<Uuid>) -> Result<Vec<Outgoing>, DbErr> {
        let keys = messages.into_iter().map(Into::into).collect();
        let reader = database.internal_reader();
        let mut rows = database
            .with_timeout(TIMEOUT, find_by::<outbox::Entity, _>(&reader, outbox::Column::MessageId, keys))
            .await?;
        rows.sort_unstable_by_key(|row| row.message_id);
        Ok(rows.into_iter().filter_map(|row| self.outgoing(row)).collect())
    }

    /// The oldest events of the outbox, at most `limit`.
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
            correlation_id: row.saga_id,
            body: Arc::from(row.body),
        })
    }
}

/// How many events are in the outbox.
pub(super) async fn count(database: &Database) -> Result<u64, DbErr> {
    database.with_timeout(TIMEOUT, outbox::Entity::find().count(&database.internal_reader())).await
}

/// How long the database may take to read.
const TIMEOUT: Duration = Duration::from_secs(20);
