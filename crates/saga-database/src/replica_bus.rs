use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sea_orm::sqlx::{self, PgConnection, postgres::PgListener};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::postgres::{REPLICA_LOCK, Server};
use saga_support::Backoff;

/// Sends notices to the other replicas of a service on the same PostgreSQL database, and receives theirs.
///
/// It makes things faster, but guarantees nothing: a notice may get lost, so subscribers also poll. Notices are sent
/// after the commit, those of many commits together, in a separate session with asynchronous commit. `NOTIFY` inside
/// the transactions would serialize the commits of all replicas.
#[derive(Debug, Clone)]
pub struct ReplicaBus(Option<Arc<ReplicaChannel>>);

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Sagas have ended.
    Ended,
    /// Sagas have changed.
    Changed,
}

#[derive(Debug)]
struct ReplicaChannel {
    server: Server,
    /// The id of this replica.
    id: Uuid,
    /// Whether no other replica is connected. Then nothing is sent.
    alone: watch::Sender<bool>,
    pending: Mutex<BTreeMap<Topic, Vec<Uuid>>>,
    wake: Notify,
    subscribers: Mutex<BTreeMap<Topic, mpsc::Sender<Vec<Uuid>>>>,
}

/// The payload of a notification. It may have at most 8,000 bytes, so at most [`IDS_PER_NOTICE`] ids.
#[derive(Serialize, Deserialize)]
struct Notice {
    from: Uuid,
    topic: Topic,
    ids: Vec<Uuid>,
}

const CHANNEL: &str = "replicas";
const IDS_PER_NOTICE: usize = 190;
/// How many ids per topic are kept while the database is unavailable; further ones are dropped.
const MAX_PENDING: usize = 10_000;
/// Capacity of a subscriber's channel, in notices.
const CHANNEL_CAPACITY: usize = 256;
/// How often the connected replicas are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(2);
/// How long the listening connection may be silent before it is tested.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Time limit of a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

impl ReplicaBus {
    /// Returns a bus without other replicas, for a database that only one process uses.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn on(server: Server) -> Self {
        Self(Some(Arc::new(ReplicaChannel {
            server,
            id: Uuid::now_v7(),
            alone: watch::Sender::new(false),
            pending: Mutex::default(),
            wake: Notify::new(),
            subscribers: Mutex::default(),
        })))
    }

    /// Returns whether this replica is known to be the only one that is connected to the database. It is counted at the
    /// start and every two seconds.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.as_ref().is_none_or(|channel| *channel.alone.borrow())
    }

    /// Resolves when this replica is known to be the only one.
    pub async fn alone(&self) {
        if let Some(channel) = &self.0 {
            // It cannot fail, because the channel has the sender.
            let _ = channel.alone.subscribe().wait_for(|alone| *alone).await;
        }
    }

    /// Sends a notice to all other replicas, soon.
    pub fn notify(&self, topic: Topic, ids: impl IntoIterator<Item = Uuid>) {
        let Some(channel) = self.0.as_ref().filter(|_| !self.is_alone()) else { return };
        let mut pending = lock(&channel.pending);
        let notices = pending.entry(topic).or_default();
        let room = MAX_PENDING.saturating_sub(notices.len());
        notices.extend(ids.into_iter().take(room));
        drop(pending);
        channel.wake.notify_one();
    }

    /// Subscribes to the other replicas' notices about `topic`; `None` if there cannot be other replicas. A topic has
    /// one subscriber.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Option<mpsc::Receiver<Vec<Uuid>>> {
        let channel = self.0.as_ref()?;
        let (subscriber, received) = mpsc::channel(CHANNEL_CAPACITY);
        lock(&channel.subscribers).insert(topic, subscriber);
        Some(received)
    }

    /// Keeps the connections for sending and listening open, until it is dropped.
    pub async fn run(self) {
        if let Some(channel) = self.0 {
            tokio::join!(channel.keep_notifying(), channel.keep_listening());
        }
    }
}

impl ReplicaChannel {
    async fn keep_notifying(&self) {
        let mut backoff = backoff();
        loop {
            let Err(error) = self.server.hosts.unless_moved(self.notifying(&mut backoff)).await;
            self.alone.send_replace(false);
            tracing::debug!(%error, "cannot notify the other replicas; they poll meanwhile");
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn notifying(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut session = self.server.hosts.session().await?;
        // The notices are about rows that are committed already, so a lost notice loses no data.
        let settings =
            sqlx::query("SELECT set_config('synchronous_commit', 'off', false), pg_advisory_lock_shared($1)");
        with_timeout(settings.bind(REPLICA_LOCK).execute(&mut session)).await?;
        backoff.reset();
        // A replica that assumed to be alone learns from this that it is not.
        let hello = Notice { from: self.id, topic: Topic::Changed, ids: Vec::new() };
        notify(&mut session, vec![serde_json::to_string(&hello).unwrap_or_default()]).await?;
        let mut counts = interval(COUNT_INTERVAL);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.wake.notified() => notify(&mut session, self.notices()).await?,
                _ = counts.tick() => {
                    self.alone.send_replace(count(&mut session).await? < 2);
                }
            }
        }
    }

    fn notices(&self) -> Vec<String> {
        let pending = mem::take(&mut *lock(&self.pending));
        let notice = |topic, ids: &[Uuid]| Notice { from: self.id, topic, ids: ids.to_vec() };
        let notices =
            pending.iter().flat_map(|(&topic, ids)| ids.chunks(IDS_PER_NOTICE).map(move |ids| notice(topic, ids)));
        notices.filter_map(|notice| serde_json::to_string(&notice).ok()).collect()
    }

    async fn keep_listening(&self) {
        let mut backoff = backoff();
        loop {
            let Err(error) = self.server.hosts.unless_moved(self.listening(&mut backoff)).await;
            tracing::debug!(%error, "cannot listen to the other replicas; polling meanwhile");
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn listening(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = with_timeout(PgListener::connect_with(&self.server.listening())).await?;
        with_timeout(listener.listen(CHANNEL)).await?;
        backoff.reset();
        loop {
            match timeout(IDLE_TIMEOUT, listener.try_recv()).await {
                Ok(Ok(Some(notice))) => self.received(notice.payload()),
                Ok(Ok(None)) => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
                Ok(Err(error)) => return Err(error),
                // Either no replica has sent anything, or the connection is broken.
                Err(_) => {
                    with_timeout(sqlx::query("SELECT 1").execute(&mut listener)).await?;
                }
            }
        }
    }

    fn received(&self, payload: &str) {
        // A newer version may send notices that this one does not know.
        let Ok(Notice { from, topic, ids }) = serde_json::from_str(payload) else { return };
        if from == self.id {
            return;
        }
        self.alone.send_replace(false);
        if let Some(subscriber) = lock(&self.subscribers).get(&topic) {
            // A subscriber whose channel is full finds the rest by polling.
            let _ = subscriber.try_send(ids);
        }
    }
}

async fn notify(session: &mut PgConnection, notices: Vec<String>) -> Result<(), sqlx::Error> {
    let query = sqlx::query("SELECT pg_notify($1, notice) FROM unnest($2) AS notice").bind(CHANNEL).bind(notices);
    with_timeout(query.execute(session)).await.map(drop)
}

/// Counts the replicas that are connected to this database, including this one.
async fn count(session: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
         WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 \
         AND (classid::bigint << 32) | objid::bigint = $1",
    );
    with_timeout(count.bind(REPLICA_LOCK).fetch_one(session)).await
}

async fn with_timeout<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let no_answer = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(QUERY_TIMEOUT, query).await.unwrap_or_else(|_| Err(no_answer()))
}

fn backoff() -> Backoff {
    Backoff::growing(Duration::from_millis(100), Duration::from_secs(5))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
