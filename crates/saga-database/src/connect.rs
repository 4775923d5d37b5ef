use std::{ops::Deref, path::Path, pin::pin, sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Fault, PostgresSettings, RelayLock, ReplicaBus, migrate,
    postgres::{CLOCK_QUERY, Server},
    sqlite::{self, Access},
};
use crate::{clock::Clock, hosts::Need};

/// A service's database. It is written through the engine's transactions and read through pools of their own, so that a
/// reader never waits for the writer. Clones share it.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// They are replaced when they do not answer, and when another server is used.
    pools: watch::Sender<Pools>,
    /// One permit for each list that may be read at the same time.
    lists: Arc<Semaphore>,
    /// `None` on SQLite.
    server: Option<Server>,
    replica_bus: ReplicaBus,
    clock: Clock,
    /// Ends the task that follows the server to be used.
    following: Option<DropGuard>,
}

/// Connection pools by their use.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) write: DatabaseConnection,
    /// For clients.
    pub(super) read: DatabaseConnection,
    /// For the service's own reads, so that clients cannot starve them.
    pub(super) internal: DatabaseConnection,
}

/// A connection for reading a list. It holds one of the permits for lists until it is dropped.
#[derive(Debug)]
pub struct ListReader {
    connection: DatabaseConnection,
    _permit: OwnedSemaphorePermit,
}

impl Deref for ListReader {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.connection
    }
}

/// The limit of lists being read at the same time is reached; nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many lists are being read")]
pub struct TooManyLists;

/// How long a list waits for a permit.
const LIST_WAIT: Duration = Duration::from_secs(1);
/// How many lists may be read at the same time on SQLite: half as many as there are readers.
const SQLITE_LISTS: usize = 2;

/// Why a database cannot be used; the text is for whoever starts the service.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file cannot be opened.
    #[error("cannot open the database {place}")]
    Open {
        /// The path of the file.
        place: String,
        /// The driver's error.
        #[source]
        source: DbErr,
    },
    /// The server is unreachable or rejects the credentials.
    #[error("cannot use the database {place}: {why} ({advice})")]
    Unusable {
        /// The address, without the password.
        place: String,
        /// The reason, as reported by the server or the operating system.
        why: String,
        /// What the operator can do about it.
        advice: &'static str,
    },
    /// A newer version of the program has migrated the database.
    #[error(
        "the database {place} was written by a newer version of this program (it has the migration {migration}): \
         start that version, or use another database"
    )]
    Newer {
        /// The address, without the password.
        place: String,
        /// The first migration that this program does not know.
        migration: String,
    },
    /// The migrations cannot be applied.
    #[error("cannot prepare the tables of the database {place}")]
    Migrate {
        /// The address, without the password.
        place: String,
        /// The driver's error.
        #[source]
        source: DbErr,
    },
}

impl DatabaseError {
    /// Returns whether the error may go away while the service waits, for example because an operator repairs the
    /// server or the network.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unusable { .. } => true,
            Self::Migrate { source, .. } => Fault::of(source) != Fault::Permanent,
            Self::Open { .. } | Self::Newer { .. } => false,
        }
    }
}

impl Database {
    /// Whether an error of a database that could be opened may pass by itself: a server may be unavailable a moment
    /// later, and a file is not.
    #[must_use]
    pub fn may_pass(&self, error: &DbErr) -> bool {
        self.backend() == DbBackend::Postgres && Fault::of(error) != Fault::Permanent
    }

    /// Opens the SQLite file at `path`, creates it if it does not exist, and applies the migrations.
    ///
    /// # Errors
    /// If the file cannot be opened, is not a database, or was migrated by a newer version of this program.
    pub async fn open_sqlite<M: MigratorTrait>(path: &Path) -> Result<Self, DatabaseError> {
        let place = path.display().to_string();
        let open_failed = |source| DatabaseError::Open { place: place.clone(), source };
        let write = sqlite::connect(path, Access::Writer).await.map_err(open_failed)?;
        migrate::up::<M>(&write, &place).await?;
        let read = sqlite::connect(path, Access::Readers).await.map_err(open_failed)?;
        let internal = sqlite::connect(path, Access::Internal).await.map_err(open_failed)?;
        let pools = Pools { write, read, internal };
        Ok(Self::of(pools, SQLITE_LISTS, None, ReplicaBus::none(), Clock::default()))
    }

    /// Opens the SQLite file at `path` for reading only. Another process may be writing it.
    ///
    /// # Errors
    /// If the file does not exist or cannot be opened.
    pub async fn open_sqlite_for_reading(path: &Path) -> Result<Self, DatabaseError> {
        let open_failed = |source| DatabaseError::Open { place: path.display().to_string(), source };
        let read = sqlite::connect(path, Access::Readers).await.map_err(open_failed)?;
        let pools = Pools { write: read.clone(), internal: read.clone(), read };
        Ok(Self::of(pools, SQLITE_LISTS, None, ReplicaBus::none(), Clock::default()))
    }

    /// Opens a PostgreSQL database and applies the migrations. Replicas may do so at the same time.
    ///
    /// # Errors
    /// If the server is unreachable or rejects the credentials, or if the migrations cannot be applied.
    pub async fn open_postgres<M: MigratorTrait>(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let server = Server::new(settings, Need::Write);
        let clock = Clock::default();
        server.prepare::<M>(&clock).await?;
        let replica_bus = ReplicaBus::on(server.clone());
        Ok(Self::of(server.pools(), server.lists(), Some(server), replica_bus, clock))
    }

    /// Opens a PostgreSQL database for reading, without applying migrations. If there is no primary, a standby will do.
    ///
    /// # Errors
    /// If the server is unreachable or rejects the credentials.
    pub async fn open_postgres_for_reading(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let server = Server::new(settings, Need::Read);
        let clock = Clock::default();
        server.check(&clock).await?;
        Ok(Self::of(server.pools(), server.lists(), Some(server), ReplicaBus::none(), clock))
    }

    fn of(pools: Pools, lists: usize, server: Option<Server>, replica_bus: ReplicaBus, clock: Clock) -> Self {
        let lists = Arc::new(Semaphore::new(lists));
        let following = server.as_ref().map(|_| CancellationToken::new().drop_guard());
        let end = server.clone().zip(following.as_ref().map(DropGuard::token).cloned());
        let pools = watch::Sender::new(pools);
        let database = Self(Arc::new(Inner { pools, lists, server, replica_bus, clock, following }));
        if let Some((server, end)) = end {
            let inner = Arc::downgrade(&database.0);
            let renew = move || inner.upgrade().map(Self).iter().for_each(Self::renew);
            tokio::spawn(async move { end.run_until_cancelled(follow(server, renew)).await });
        }
        database
    }

    /// Returns the service's clock. On PostgreSQL it follows the server's time, which is read when the database is
    /// opened and at each tick of the engine.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Compares the clock with the database server's; does nothing on SQLite.
    pub async fn compare_clock(&self) -> Result<(), DbErr> {
        if self.0.server.is_none() {
            return Ok(());
        }
        let read = async {
            let question = Statement::from_string(self.backend(), CLOCK_QUERY);
            let row = self.writer().query_one_raw(question).await?;
            row.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?.try_get_by_index(0)
        };
        self.0.clock.compare(read).await
    }

    /// Begins a transaction that may write. On SQLite it takes the file's only write lock at once: a transaction that
    /// reads first and writes later can fail with BUSY in the middle, and would have to be repeated as a whole.
    ///
    /// # Errors
    /// If no connection is available.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer()
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// Returns the pool for the few writes that are not inputs of the engine, such as trimming the inbox.
    pub fn writer(&self) -> DatabaseConnection {
        self.pools().write.clone()
    }

    /// Returns the pool for reading single rows on behalf of a client. For lists, see [`Self::list_reader`].
    #[must_use]
    pub fn reader(&self) -> DatabaseConnection {
        self.pools().read.clone()
    }

    /// Returns a connection for reading a list on behalf of a client. Lists take long, so they may use only some of the
    /// connections, and wait for one of these for at most a second.
    ///
    /// # Errors
    /// If too many lists are being read.
    pub async fn list_reader(&self) -> Result<ListReader, TooManyLists> {
        let permit = tokio::time::timeout(LIST_WAIT, Arc::clone(&self.0.lists).acquire_owned()).await;
        let permit = permit.map_err(|_| TooManyLists)?.map_err(|_| TooManyLists)?;
        Ok(ListReader { connection: self.reader(), _permit: permit })
    }

    /// Returns the pool for what the service itself reads, which clients cannot exhaust.
    #[must_use]
    pub fn internal_reader(&self) -> DatabaseConnection {
        self.pools().internal.clone()
    }

    /// Returns whether this is PostgreSQL or SQLite.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.pools().write.get_database_backend()
    }

    /// Returns the channel to the other replicas of the service on this database.
    #[must_use]
    pub fn replica_bus(&self) -> ReplicaBus {
        self.0.replica_bus.clone()
    }

    /// Takes the relay lock, or returns `None` if another replica holds it.
    pub async fn acquire_relay_lock(&self) -> Result<Option<RelayLock>, DbErr> {
        match &self.0.server {
            None => Ok(Some(RelayLock::sole())),
            Some(server) => RelayLock::take(server).await,
        }
    }

    /// Runs `work` on this database. If it takes longer than `timeout`, the database counts as unavailable, and all
    /// connections are replaced. As after any lost connection, it is then unknown whether the work was committed. The
    /// same applies if another server is used meanwhile.
    ///
    /// A commit that waits for a synchronous standby may take longer: repeating it would leave a session behind that
    /// waits, too, and holds its locks.
    pub async fn with_timeout<T, E: From<DbErr>>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (mut pools, mut work) = (self.0.pools.subscribe(), pin!(work));
        let failed = |why: String| Err(DbErr::Conn(RuntimeErr::Internal(why)).into());
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                // It cannot fail, because this database has the sender.
                _ = pools.changed() => return failed("the connections were replaced".to_owned()),
                () = tokio::time::sleep(timeout) => {}
            }
            if !*self.commits_wait().borrow() {
                tracing::warn!("the database does not answer; reconnecting");
                self.renew();
                return failed(format!("no answer within {timeout:?}"));
            }
        }
    }

    /// Whether commits wait for a synchronous standby that is unavailable. They are durable on the primary then, but
    /// nothing may be answered or published because of them yet.
    #[must_use]
    pub fn commits_wait(&self) -> watch::Receiver<bool> {
        match &self.0.server {
            Some(server) => server.hosts.commits_wait(),
            None => watch::Sender::new(false).subscribe(),
        }
    }

    /// Replaces all open connections, because they do not answer, or because another server is used. Without this, a
    /// query on a connection whose network has vanished would wait until the operating system drops it, which takes a
    /// quarter of an hour.
    fn renew(&self) {
        let Some(server) = &self.0.server else { return };
        let old = self.0.pools.send_replace(server.pools());
        // Closing waits until the old connections are no longer in use.
        tokio::spawn(close(old));
    }

    /// Closes all connections; SQLite then merges its write-ahead log into the file.
    pub async fn close(self) {
        if let Some(following) = &self.0.following {
            following.token().cancel();
        }
        let pools = self.pools().clone();
        close(pools).await;
        if let Some(server) = &self.0.server {
            server.hosts.close().await;
        }
    }

    fn pools(&self) -> watch::Ref<'_, Pools> {
        self.0.pools.borrow()
    }
}

/// Follows the server to be used, and calls `renew` whenever another one is. It is one task, which is the only one that
/// changes the choice, so that no change is missed between two calls of `moved`.
async fn follow(server: Server, renew: impl Fn()) {
    let moves = async {
        loop {
            server.hosts.moved().await;
            renew();
        }
    };
    tokio::join!(server.hosts.keep_choosing(), moves);
}

async fn close(Pools { read, internal, write }: Pools) {
    for connection in [read, internal, write] {
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "a database connection did not close");
        }
    }
}
