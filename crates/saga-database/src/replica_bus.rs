use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::sqlx::{self, PgConnection, postgres::PgListener};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::postgres::{REPLICA_LOCK, Server};
use saga_support::Backoff;

/// The other replicas of a service, on the same PostgreSQL database: what they are told, and what they tell.
///
/// It is quick, and nothing more: a notice may get lost, so whoever relies on it looks by itself now and then. Words are told
/// after the commit, those of many commits together, in a session of their own that waits for no disk: `NOTIFY` inside the
/// transactions would make the commits of all replicas queue up behind each other.
#[derive(Debug, Clone)]
pub struct ReplicaBus(Option<Arc<ReplicaChannel>>);

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Events were committed by a replica that does not relay.
    Outbox,
    /// Sagas have ended.
    Ended,
    /// Sagas have changed.
    Changed,
}

#[derive(Debug)]
struct ReplicaChannel {
    server: Server,
    /// This replica.
    id: Uuid,
    /// Nobody else is there, so there is nobody to tell.
    alone: AtomicBool,
    pending: Mutex<BTreeMap<Topic, Vec<Uuid>>>,
    wake: Notify,
    subscribers: Mutex<BTreeMap<Topic, mpsc::Sender<Vec<Uuid>>>>,
}

/// What goes over the wire: at most 8,000 bytes, so at most [`IDS_PER_NOTICE`] ids.
#[derive(Serialize, Deserialize)]
struct Notice {
    from: Uuid,
    topic: Topic,
    ids: Vec<Uuid>,
}

const CHANNEL: &str = "replicas";
const IDS_PER_NOTICE: usize = 190;
/// What is kept for notifying while the database is unavailable; what is more is not told.
const MAX_PENDING: usize = 10_000;
/// How many notices may wait for a subscriber.
const CHANNEL_CAPACITY: usize = 256;
/// How often it is counted who is there.
const COUNT_INTERVAL: Duration = Duration::from_secs(2);
/// How long a channel may be silent before it is tested, and how long an answer may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

impl ReplicaBus {
    /// For a database with one process.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn on(server: Server) -> Self {
        Self(Some(Arc::new(ReplicaChannel {
            server,
            id: Uuid::now_v7(),
            alone: AtomicBool::new(false),
            pending: Mutex::default(),
            wake: Notify::new(),
            subscribers: Mutex::default(),
        })))
    }

    /// Tells all others, soon.
    pub fn notify(&self, topic: Topic, ids: impl IntoIterator<Item = Uuid>) {
        let Some(channel) = self.0.as_ref().filter(|channel| !channel.alone.load(Ordering::Relaxed)) else { return };
        let mut pending = lock(&channel.pending);
        let notices = pending.entry(topic).or_default();
        let room = MAX_PENDING.saturating_sub(notices.len());
        notices.extend(ids.into_iter().take(room));
        drop(pending);
        channel.wake.notify_one();
    }

    /// What the others tell about `topic` from now on; `None` where there can be no others. A topic has one subscriber.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Option<mpsc::Receiver<Vec<Uuid>>> {
        let channel = self.0.as_ref()?;
        let (subscriber, received) = mpsc::channel(CHANNEL_CAPACITY);
        lock(&channel.subscribers).insert(topic, subscriber);
        Some(received)
    }

    /// Keeps the channel open; to be run beside whatever uses it, and dropped with it.
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
            let Err(error) = self.notifying(&mut backoff).await;
            self.alone.store(false, Ordering::Relaxed);
            tracing::debug!(%error, "cannot tell the other replicas; they look by themselves meanwhile");
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn notifying(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut session = self.server.session().await?;
        // What is told is in the database already, so nothing is lost with it.
        let settings =
            sqlx::query("SELECT set_config('synchronous_commit', 'off', false), pg_advisory_lock_shared($1)");
        answer(settings.bind(REPLICA_LOCK).execute(&mut session)).await?;
        backoff.reset();
        // Whoever thought to be alone hears by this that it is not.
        let hello = Notice { from: self.id, topic: Topic::Outbox, ids: Vec::new() };
        notify(&mut session, vec![serde_json::to_string(&hello).unwrap_or_default()]).await?;
        let mut counts = interval(COUNT_INTERVAL);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.wake.notified() => notify(&mut session, self.notices()).await?,
                _ = counts.tick() => self.alone.store(count(&mut session).await? < 2, Ordering::Relaxed),
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
            let Err(error) = self.listening(&mut backoff).await;
            tracing::debug!(%error, "cannot listen to the other replicas; looking by ourselves meanwhile");
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn listening(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut subscriber = answer(PgListener::connect_with(&self.server.listening())).await?;
        answer(subscriber.listen(CHANNEL)).await?;
        backoff.reset();
        loop {
            match timeout(IDLE_TIMEOUT, subscriber.try_recv()).await {
                Ok(Ok(Some(notice))) => self.received(notice.payload()),
                Ok(Ok(None)) => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
                Ok(Err(error)) => return Err(error),
                // Nobody says anything, or nobody is there any more.
                Err(_) => {
                    answer(sqlx::query("SELECT 1").execute(&mut subscriber)).await?;
                }
            }
        }
    }

    fn received(&self, payload: &str) {
        // A newer version may have notices that this one does not know.
        let Ok(Notice { from, topic, ids }) = serde_json::from_str(payload) else { return };
        if from == self.id {
            return;
        }
        self.alone.store(false, Ordering::Relaxed);
        if let Some(subscriber) = lock(&self.subscribers).get(&topic) {
            // A subscriber that is behind finds the rest by itself.
            let _ = subscriber.try_send(ids);
        }
    }
}

async fn notify(session: &mut PgConnection, notices: Vec<String>) -> Result<(), sqlx::Error> {
    let tell = sqlx::query("SELECT pg_notify($1, notice) FROM unnest($2) AS notice").bind(CHANNEL).bind(notices);
    answer(tell.execute(session)).await.map(drop)
}

/// How many replicas have a channel to this database, this one included.
async fn count(session: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
         WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 \
         AND (classid::bigint << 32) | objid::bigint = $1",
    );
    answer(count.bind(REPLICA_LOCK).fetch_one(session)).await
}

async fn answer<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let no_answer = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(QUERY_TIMEOUT, question).await.unwrap_or_else(|_| Err(no_answer()))
}

fn backoff() -> Backoff {
    Backoff::growing(Duration::from_millis(100), Duration::from_secs(5))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
