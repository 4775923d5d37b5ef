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

use super::postgres::{NEIGHBOUR_LOCK, Server};
use saga_support::Backoff;

/// The other replicas of a service, on the same PostgreSQL database: what they are told, and what they tell.
///
/// It is quick, and nothing more: a word may get lost, so whoever relies on it looks by itself now and then. Words are told
/// after the commit, those of many commits together, in a session of their own that waits for no disk: `NOTIFY` inside the
/// transactions would make the commits of all replicas queue up behind each other.
#[derive(Debug, Clone)]
pub struct Neighbours(Option<Arc<Line>>);

/// What a word is about.
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
struct Line {
    server: Server,
    /// This replica.
    id: Uuid,
    /// Nobody else is there, so there is nobody to tell.
    alone: AtomicBool,
    to_tell: Mutex<BTreeMap<Topic, Vec<Uuid>>>,
    news: Notify,
    listeners: Mutex<BTreeMap<Topic, mpsc::Sender<Vec<Uuid>>>>,
}

/// What goes over the wire: at most 8,000 bytes, so at most [`AT_ONCE`] ids.
#[derive(Serialize, Deserialize)]
struct Word {
    from: Uuid,
    topic: Topic,
    ids: Vec<Uuid>,
}

const CHANNEL: &str = "replicas";
const AT_ONCE: usize = 190;
/// What is kept for telling while the database is away; what is more is not told.
const MOST_TO_TELL: usize = 10_000;
/// How many words may wait for a listener.
const MOST_HEARD: usize = 256;
/// How often it is counted who is there.
const COUNT: Duration = Duration::from_secs(2);
/// How long a line may be silent before it is tested, and how long an answer may take.
const SILENCE: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(5);

impl Neighbours {
    /// For a database with one process.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    pub(super) fn on(server: Server) -> Self {
        Self(Some(Arc::new(Line {
            server,
            id: Uuid::now_v7(),
            alone: AtomicBool::new(false),
            to_tell: Mutex::default(),
            news: Notify::new(),
            listeners: Mutex::default(),
        })))
    }

    /// Tells all others, soon.
    pub fn tell(&self, topic: Topic, ids: impl IntoIterator<Item = Uuid>) {
        let Some(line) = self.0.as_ref().filter(|line| !line.alone.load(Ordering::Relaxed)) else { return };
        let mut to_tell = lock(&line.to_tell);
        let words = to_tell.entry(topic).or_default();
        let room = MOST_TO_TELL.saturating_sub(words.len());
        words.extend(ids.into_iter().take(room));
        drop(to_tell);
        line.news.notify_one();
    }

    /// What the others tell about `topic` from now on; `None` where there can be no others. A topic has one listener.
    #[must_use]
    pub fn hear(&self, topic: Topic) -> Option<mpsc::Receiver<Vec<Uuid>>> {
        let line = self.0.as_ref()?;
        let (listener, heard) = mpsc::channel(MOST_HEARD);
        lock(&line.listeners).insert(topic, listener);
        Some(heard)
    }

    /// Keeps the line open; to be run beside whatever uses it, and dropped with it.
    pub async fn run(self) {
        if let Some(line) = self.0 {
            tokio::join!(line.keep_telling(), line.keep_listening());
        }
    }
}

impl Line {
    async fn keep_telling(&self) {
        let mut pauses = pauses();
        loop {
            let Err(error) = self.telling(&mut pauses).await;
            self.alone.store(false, Ordering::Relaxed);
            tracing::debug!(%error, "cannot tell the other replicas; they look by themselves meanwhile");
            tokio::time::sleep(pauses.next_pause()).await;
        }
    }

    async fn telling(&self, pauses: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut session = self.server.session().await?;
        // What is told is in the database already, so nothing is lost with it.
        let settings =
            sqlx::query("SELECT set_config('synchronous_commit', 'off', false), pg_advisory_lock_shared($1)");
        answer(settings.bind(NEIGHBOUR_LOCK).execute(&mut session)).await?;
        pauses.reset();
        // Whoever thought to be alone hears by this that it is not.
        let hello = Word { from: self.id, topic: Topic::Outbox, ids: Vec::new() };
        notify(&mut session, vec![serde_json::to_string(&hello).unwrap_or_default()]).await?;
        let mut counts = interval(COUNT);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.news.notified() => notify(&mut session, self.words()).await?,
                _ = counts.tick() => self.alone.store(count(&mut session).await? < 2, Ordering::Relaxed),
            }
        }
    }

    fn words(&self) -> Vec<String> {
        let to_tell = mem::take(&mut *lock(&self.to_tell));
        let word = |topic, ids: &[Uuid]| Word { from: self.id, topic, ids: ids.to_vec() };
        let words = to_tell.iter().flat_map(|(&topic, ids)| ids.chunks(AT_ONCE).map(move |ids| word(topic, ids)));
        words.filter_map(|word| serde_json::to_string(&word).ok()).collect()
    }

    async fn keep_listening(&self) {
        let mut pauses = pauses();
        loop {
            let Err(error) = self.listening(&mut pauses).await;
            tracing::debug!(%error, "cannot listen to the other replicas; looking by ourselves meanwhile");
            tokio::time::sleep(pauses.next_pause()).await;
        }
    }

    async fn listening(&self, pauses: &mut Backoff) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = answer(PgListener::connect_with(&self.server.listening())).await?;
        answer(listener.listen(CHANNEL)).await?;
        pauses.reset();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(word))) => self.heard(word.payload()),
                Ok(Ok(None)) => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())),
                Ok(Err(error)) => return Err(error),
                // Nobody says anything, or nobody is there any more.
                Err(_) => {
                    answer(sqlx::query("SELECT 1").execute(&mut listener)).await?;
                }
            }
        }
    }

    fn heard(&self, payload: &str) {
        // A newer version may have words that this one does not know.
        let Ok(Word { from, topic, ids }) = serde_json::from_str(payload) else { return };
        if from == self.id {
            return;
        }
        self.alone.store(false, Ordering::Relaxed);
        if let Some(listener) = lock(&self.listeners).get(&topic) {
            // A listener that is behind finds the rest by itself.
            let _ = listener.try_send(ids);
        }
    }
}

async fn notify(session: &mut PgConnection, words: Vec<String>) -> Result<(), sqlx::Error> {
    let tell = sqlx::query("SELECT pg_notify($1, word) FROM unnest($2) AS word").bind(CHANNEL).bind(words);
    answer(tell.execute(session)).await.map(drop)
}

/// How many replicas have a line to this database, this one included.
async fn count(session: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
         WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 \
         AND (classid::bigint << 32) | objid::bigint = $1",
    );
    answer(count.bind(NEIGHBOUR_LOCK).fetch_one(session)).await
}

async fn answer<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let no_answer = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(ANSWER, question).await.unwrap_or_else(|_| Err(no_answer()))
}

fn pauses() -> Backoff {
    Backoff::growing(Duration::from_millis(100), Duration::from_secs(5))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
