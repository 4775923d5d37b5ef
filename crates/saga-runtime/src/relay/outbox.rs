use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use saga_database::{Database, find_by, tables::outbox};
use saga_message::{MessageId, ServiceSpec, Timestamp, framing};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::sync::{Notify, futures::Notified};
use uuid::Uuid;

use crate::broker::Outgoing;

/// The outbox table, and what this replica has to publish of it. Only the table is authoritative: whatever is lost here
/// is found there by the sweep.
#[derive(Debug)]
pub struct Outbox {
    /// The service whose outbox it is.
    service: ServiceSpec,
    /// How many messages the table contains, including those of other replicas.
    depth: AtomicU64,
    /// How many messages were committed since the start.
    added: AtomicU64,
    queue: Mutex<Queue>,
    /// Wakes the relay: there is something to publish.
    more: Notify,
    /// Wakes those who wait until less is to be published.
    less: Notify,
}

/// What this replica publishes: what it has committed itself, and what the sweep has found.
#[derive(Debug, Default)]
struct Queue {
    /// Every message that this replica publishes, until it is deleted from the table. Each is either handed off, or to
    /// be read, or in flight, so none is published twice over one connection.
    known: HashMap<MessageId, Origin>,
    /// Messages that were just committed.
    handed_off: VecDeque<Outgoing>,
    /// The size of their bodies.
    handed_off_bytes: usize,
    /// Messages that must be read from the table.
    to_read: VecDeque<MessageId>,
    /// How many of the known messages are own ones, and how many own ones are no longer known.
    own: u64,
    own_done: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Committed by this replica.
    Own,
    /// Found in the table by the sweep.
    Swept,
}

/// How much may be handed off before it has to be read from the table: messages, and bytes of their bodies.
const MAX_HANDED_OFF: (usize, usize) = (4_096, 8 << 20);
/// How many ids may wait to be read, 16 bytes each. What was committed beyond that is left to the sweep.
const MAX_TO_READ: usize = 100_000;
/// Time limit for reading the outbox.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Outbox {
    /// Opens the outbox of `service`, and counts the messages in the table.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn open(database: &Database, service: ServiceSpec) -> Result<Arc<Self>, DbErr> {
        Ok(Arc::new(Self {
            service,
            depth: AtomicU64::new(count(database).await?),
            added: AtomicU64::new(0),
            queue: Mutex::default(),
            more: Notify::new(),
            less: Notify::new(),
        }))
    }

    /// Returns how many messages are committed and not yet confirmed by the broker, including those of other replicas.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.depth.load(Ordering::Acquire)
    }

    /// Resolves when the table is empty.
    pub async fn empty(&self) {
        self.less_until(|| self.depth() == 0).await;
    }

    /// Resolves when what this replica has committed up to now is published. More may be committed meanwhile.
    pub async fn flushed(&self) {
        let goal = {
            let queue = self.queue();
            queue.own_done + queue.own
        };
        self.less_until(|| self.queue().own_done >= goal).await;
    }

    async fn less_until(&self, holds: impl Fn() -> bool) {
        loop {
            let less = self.less.notified();
            if holds() {
                return;
            }
            less.await;
        }
    }

    /// Sets the number of messages in the table, including those of other replicas. Messages that are being committed
    /// at this moment may be missing until the next count.
    pub(super) fn counted(&self, depth: u64) {
        self.depth.store(depth, Ordering::Release);
        self.less.notify_waiters();
    }

    /// Returns how many messages were committed since the start. If it has not changed, an empty outbox has been empty
    /// in between.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added.load(Ordering::Acquire)
    }

    /// Records that these messages were committed, and that `deleted` confirmed ones were deleted.
    pub(crate) fn committed(&self, outgoing: Vec<Outgoing>, deleted: u64) {
        let added = outgoing.len() as u64;
        if added > 0 {
            self.added.fetch_add(added, Ordering::AcqRel);
            self.depth.fetch_add(added, Ordering::AcqRel);
            self.queue().commit(outgoing);
            self.more.notify_one();
        }
        // `deleted` may include messages that were never counted here, from a commit whose success went unnoticed.
        let left = |depth: u64| Some(depth.saturating_sub(deleted));
        let _ = self.depth.fetch_update(Ordering::AcqRel, Ordering::Acquire, left);
        if deleted > 0 {
            self.less.notify_waiters();
        }
    }

    /// Resolves when there may be more to publish.
    pub(super) fn more(&self) -> Notified<'_> {
        self.more.notified()
    }

    /// Takes what was handed off, at most `room` messages and bytes.
    pub(super) fn take_handed_off(&self, room: (usize, usize)) -> Vec<Outgoing> {
        let mut queue = self.queue();
        let messages = queue.take_handed_off(room);
        if queue.is_empty() {
            self.less.notify_waiters();
        }
        messages
    }

    /// Returns whether messages must be read from the table.
    pub(super) fn has_to_read(&self) -> bool {
        !self.queue().to_read.is_empty()
    }

    /// Takes the ids of at most `limit` messages that must be read from the table.
    pub(super) fn take_to_read(&self, limit: usize) -> Vec<MessageId> {
        let mut queue = self.queue();
        let count = limit.min(queue.to_read.len());
        let messages = queue.to_read.drain(..count).collect();
        if queue.is_empty() {
            self.less.notify_waiters();
        }
        messages
    }

    /// Has these messages read from the table, before all others.
    pub(super) fn read_again(&self, messages: Vec<MessageId>) {
        let mut queue = self.queue();
        for message in messages.into_iter().rev() {
            queue.to_read.push_front(message);
        }
    }

    /// Records that these messages are published and deleted, or left to the sweep.
    pub(super) fn done(&self, messages: &[MessageId]) {
        let mut queue = self.queue();
        for message in messages {
            queue.forget(*message);
        }
        self.less.notify_waiters();
    }

    /// Has the own ones among these messages, whose connection was lost, read and published again. This replica no
    /// longer cares for those of others: another one may have a connection.
    pub(super) fn connection_lost(&self, unconfirmed: Vec<MessageId>) {
        self.read_again(unconfirmed);
        let mut queue = self.queue();
        let mut to_read = std::mem::take(&mut queue.to_read);
        to_read.retain(|message| {
            let is_own = queue.known.get(message) == Some(&Origin::Own);
            if !is_own {
                queue.known.remove(message);
            }
            is_own
        });
        queue.to_read = to_read;
        self.less.notify_waiters();
    }

    /// Has those of these messages that are not known yet read from the table and published.
    pub(super) fn sweep(&self, messages: Vec<MessageId>) {
        let mut queue = self.queue();
        for message in messages {
            if let Entry::Vacant(unknown) = queue.known.entry(message) {
                unknown.insert(Origin::Swept);
                queue.to_read.push_back(message);
            }
        }
        self.more.notify_one();
    }

    /// Resolves when the relay has nothing left that it could publish at once.
    pub(super) async fn caught_up(&self) {
        self.less_until(|| self.queue().is_empty()).await;
    }

    /// Returns those of these messages that are still in the outbox, the oldest first. The others are done.
    pub(super) async fn find(&self, database: &Database, messages: &[MessageId]) -> Result<Vec<Outgoing>, DbErr> {
        let keys = messages.iter().map(|message| message.0.into()).collect();
        let reader = database.internal_reader();
        let rows = database
            .with_timeout(TIMEOUT, find_by::<outbox::Entity, _>(&reader, outbox::Column::MessageId, keys))
            .await?;
        let mut found: Vec<_> = rows.into_iter().filter_map(|row| self.outgoing(row)).collect();
        found.sort_unstable_by_key(|message| message.message_id);
        let is_missing = |id: &&MessageId| found.binary_search_by_key(*id, |message| message.message_id).is_err();
        let missing: Vec<_> = messages.iter().filter(is_missing).copied().collect();
        self.done(&missing);
        Ok(found)
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

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.handed_off.is_empty() && self.to_read.is_empty()
    }

    fn commit(&mut self, outgoing: Vec<Outgoing>) {
        let (messages, bytes) = MAX_HANDED_OFF;
        for message in outgoing {
            let id = message.message_id;
            if let Some(origin) = self.known.get_mut(&id) {
                // The sweep found it between its commit and now.
                *origin = Origin::Own;
            } else if self.handed_off.len() < messages && self.handed_off_bytes < bytes {
                self.handed_off_bytes += message.body.len();
                self.handed_off.push_back(message);
                self.known.insert(id, Origin::Own);
            } else if self.to_read.len() < MAX_TO_READ {
                self.to_read.push_back(id);
                self.known.insert(id, Origin::Own);
            } else {
                continue;
            }
            self.own += 1;
        }
    }

    fn take_handed_off(&mut self, (messages, mut bytes): (usize, usize)) -> Vec<Outgoing> {
        let mut taken = Vec::new();
        while taken.len() < messages
            && bytes > 0
            && let Some(message) = self.handed_off.pop_front()
        {
            self.handed_off_bytes -= message.body.len();
            bytes = bytes.saturating_sub(message.body.len());
            taken.push(message);
        }
        taken
    }

    fn forget(&mut self, message: MessageId) {
        if self.known.remove(&message) == Some(Origin::Own) {
            self.own -= 1;
            self.own_done += 1;
        }
    }
}

/// Counts the messages in the outbox.
pub(super) async fn count(database: &Database) -> Result<u64, DbErr> {
    database.with_timeout(TIMEOUT, outbox::Entity::find().count(&database.internal_reader())).await
}

/// Returns the ids of the oldest messages after `after` that were committed before `before`, at most `limit`.
pub(super) async fn ids(
    database: &Database,
    after: Uuid,
    before: Option<Timestamp>,
    limit: u64,
) -> Result<Vec<MessageId>, DbErr> {
    let mut ids = outbox::Entity::find()
        .select_only()
        .column(outbox::Column::MessageId)
        .filter(outbox::Column::MessageId.gt(after))
        .order_by_asc(outbox::Column::MessageId)
        .limit(limit);
    if let Some(before) = before {
        ids = ids.filter(outbox::Column::CreatedAt.lt(before.unix_micros()));
    }
    let reader = database.internal_reader();
    let ids = database.with_timeout(TIMEOUT, ids.into_tuple::<Uuid>().all(&reader)).await?;
    Ok(ids.into_iter().map(MessageId).collect())
}
