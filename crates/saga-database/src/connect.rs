use std::{
    ops::Deref,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Fault, PostgresSettings, RelayLock, ReplicaBus, migrate,
    postgres::{CLOCK_QUERY, Server},
    sqlite::{self, Access},
};
use crate::clock::Clock;

/// A service's database. It is written through one door, the engine's transactions, and read through another, so that a
/// reader never waits for the writer. Clones share it.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pools: RwLock<Pools>,
    /// A permit for each list that is read at a time.
    lists: Arc<Semaphore>,
    /// `None`: SQLite.
    server: Option<Server>,
    replica_bus: ReplicaBus,
    clock: Clock,
}

/// Connections by their use.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) write: DatabaseConnection,
    /// For clients.
    pub(super) read: DatabaseConnection,
    /// For the service's own reads, so that no client's can starve them.
    pub(super) internal: DatabaseConnection,
}

/// A connection for reading a list. As long as it is there, its place is taken.
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

/// As many lists are read as may be at a time; nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many lists are being read")]
pub struct TooManyLists;

/// How long a list waits for others to be read.
const LIST_WAIT: Duration = Duration::from_secs(1);
/// How many lists are read at a time on SQLite: half of its readers.
const SQLITE_LISTS: usize = 2;

/// Why a database cannot be used; the words are for the person who starts the service.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file does not open.
    #[error("cannot open the database {place}")]
    Open {
        /// Where it is.
        place: String,
        /// What the driver says.
        #[source]
        source: DbErr,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("cannot use the database {place}: {why} ({advice})")]
    Unusable {
        /// Where it is, without a password.
        place: String,
        /// What the server or the system says.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// A newer program has been here.
    #[error(
        "the database {place} was written by a newer version of this program (it has the migration {migration}): \
         start that version, or use another database"
    )]
    Newer {
        /// Where it is, without a password.
        place: String,
        /// The first migration that this program does not know.
        migration: String,
    },
    /// Its tables cannot be brought up to date.
    #[error("cannot prepare the tables of the database {place}")]
    Migrate {
        /// Where it is, without a password.
        place: String,
        /// What the driver says.
        #[source]
        source: DbErr,
    },
}

impl DatabaseError {
    /// Whether it may pass by itself: what a person has to mend at the server, or in the network, may be mended while the
    /// service waits.
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
    /// Whether an error of a database that could be opened may pass by itself: a server may be unavailable a moment later, and a
    /// file is not.
    #[must_use]
    pub fn may_pass(&self, error: &DbErr) -> bool {
        self.backend() == DbBackend::Postgres && Fault::of(error) != Fault::Permanent
    }

    /// Opens the SQLite file at `path`, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// If the file cannot be opened, is no database, or is of a newer version of this program.
    pub async fn open_sqlite<M: MigratorTrait>(path: &Path) -> Result<Self, DatabaseError> {
        let place = path.display().to_string();
        let opened = |source| DatabaseError::Open { place: place.clone(), source };
        let write = sqlite::connect(path, Access::Writer).await.map_err(opened)?;
        migrate::up::<M>(&write, &place).await?;
        let read = sqlite::connect(path, Access::Readers).await.map_err(opened)?;
        let internal = sqlite::connect(path, Access::Internal).await.map_err(opened)?;
        let pools = Pools { write, read, internal };
        Ok(Self::of(pools, SQLITE_LISTS, None, ReplicaBus::none(), Clock::default()))
    }

    /// Opens the SQLite file at `path`, which another process may be writing, for reading only.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be opened.
    pub async fn open_sqlite_for_reading(path: &Path) -> Result<Self, DatabaseError> {
        let opened = |source| DatabaseError::Open { place: path.display().to_string(), source };
        let read = sqlite::connect(path, Access::Readers).await.map_err(opened)?;
        let pools = Pools { write: read.clone(), internal: read.clone(), read };
        Ok(Self::of(pools, SQLITE_LISTS, None, ReplicaBus::none(), Clock::default()))
    }

    /// Opens a PostgreSQL database, and brings its tables up to date. Replicas may do so at the same time.
    ///
    /// # Errors
    /// If the server cannot be reached or does not let us in, and where the tables cannot be brought up to date.
    pub async fn open_postgres<M: MigratorTrait>(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let server = Server::new(settings);
        let clock = Clock::default();
        server.prepare::<M>(&clock).await?;
        let (pools, replica_bus) = (server.pools(), ReplicaBus::on(server.clone()));
        Ok(Self::of(pools, server.lists(), Some(server), replica_bus, clock))
    }

    /// Opens a PostgreSQL database that is ready for use, for reading.
    ///
    /// # Errors
    /// If the server cannot be reached or does not let us in.
    pub async fn open_postgres_for_reading(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let server = Server::new(settings);
        let clock = Clock::default();
        server.look(&clock).await?;
        Ok(Self::of(server.pools(), server.lists(), Some(server), ReplicaBus::none(), clock))
    }

    fn of(pools: Pools, lists: usize, server: Option<Server>, replica_bus: ReplicaBus, clock: Clock) -> Self {
        let lists = Arc::new(Semaphore::new(lists));
        Self(Arc::new(Inner { pools: RwLock::new(pools), lists, server, replica_bus, clock }))
    }

    /// The time that the service goes by: on PostgreSQL the server's, compared when the database was opened and at each
    /// tick of the engine.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Compares the clock with the server's, where there is one.
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

    /// Begins a transaction that may write. On SQLite it holds the file's one write lock from the start: a transaction that
    /// reads first and writes later could not be retried inside.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer()
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// For the few writes that are no input of the engine, such as trimming the inbox.
    pub fn writer(&self) -> DatabaseConnection {
        self.pools().write.clone()
    }

    /// For reading what is committed, in answer to a client: single rows. For lists, see [`Self::list_reader`].
    #[must_use]
    pub fn reader(&self) -> DatabaseConnection {
        self.pools().read.clone()
    }

    /// For reading a list in answer to a client. Lists are long, so they get only a part of the connections, and wait at most a
    /// second for it.
    ///
    /// # Errors
    /// If too many lists are being read.
    pub async fn list_reader(&self) -> Result<ListReader, TooManyLists> {
        let permit = tokio::time::timeout(LIST_WAIT, Arc::clone(&self.0.lists).acquire_owned()).await;
        let permit = permit.map_err(|_| TooManyLists)?.map_err(|_| TooManyLists)?;
        Ok(ListReader { connection: self.reader(), _permit: permit })
    }

    /// For what the service itself has to read, whatever its clients ask for.
    #[must_use]
    pub fn internal_reader(&self) -> DatabaseConnection {
        self.pools().internal.clone()
    }

    /// Whether it is PostgreSQL or SQLite.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.pools().write.get_database_backend()
    }

    /// The other replicas of the service on this database.
    #[must_use]
    pub fn replica_bus(&self) -> ReplicaBus {
        self.0.replica_bus.clone()
    }

    /// Takes the relay's lock, unless another replica has it: there is one relay a database.
    pub async fn acquire_relay_lock(&self) -> Result<Option<RelayLock>, DbErr> {
        match &self.0.server {
            None => Ok(Some(RelayLock::sole())),
            Some(server) => RelayLock::take(server).await,
        }
    }

    /// Does `work` on this database. Where that takes longer than `patience`, the database counts as away, and all
    /// connections are made anew. Whether what was being written is committed is not known then, as after any lost connection.
    pub async fn with_timeout<T, E: From<DbErr>>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            tracing::warn!("the database does not answer; connecting anew");
            self.renew();
            Err(DbErr::Conn(RuntimeErr::Internal(format!("no answer within {patience:?}"))).into())
        })
    }

    /// Gives up all connections that are open now, for they do not answer, and begins with fresh ones. Without it a
    /// connection whose network has vanished is waited for until the system gives it up, which takes a quarter of an hour.
    fn renew(&self) {
        let Some(server) = &self.0.server else { return };
        let old = std::mem::replace(&mut *self.0.pools.write().unwrap_or_else(PoisonError::into_inner), server.pools());
        // It waits until those who still use them let go.
        tokio::spawn(close(old));
    }

    /// Closes all connections; SQLite then folds its log into the file.
    pub async fn close(self) {
        let pools = self.pools().clone();
        close(pools).await;
    }

    fn pools(&self) -> RwLockReadGuard<'_, Pools> {
        self.0.pools.read().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn close(Pools { read, internal, write }: Pools) {
    for connection in [read, internal, write] {
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "a database connection did not close");
        }
    }
}
