use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use sea_orm_migration::MigratorTrait;

use super::migrate;

/// A service's database. It is written through one door, the engine's transactions, and read through another, so that a
/// reader never waits for the writer.
#[derive(Debug, Clone)]
pub struct Database {
    write: DatabaseConnection,
    read: DatabaseConnection,
}

/// Why a database cannot be used; the words are for the person who starts the service.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It does not open.
    #[error("cannot open the database {place}")]
    Open {
        /// Where it is, without a password.
        place: String,
        /// What the driver says.
        #[source]
        source: DbErr,
    },
    /// A newer program has been here.
    #[error(
        "the database {place} was written by a newer version of this program (it has the migration {migration}): \
         start that version, or another data directory"
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

impl Database {
    /// Opens the SQLite file at `path`, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// Where the file cannot be opened, is no database, or is of a newer version of this program.
    pub async fn open_sqlite<M: MigratorTrait>(path: &Path) -> Result<Self, DatabaseError> {
        let place = path.display().to_string();
        let opened = |source| DatabaseError::Open { place: place.clone(), source };
        let write = connect_sqlite(path, Access::Writer).await.map_err(opened)?;
        migrate::up::<M>(&write, &place).await?;
        let read = connect_sqlite(path, Access::Readers).await.map_err(opened)?;
        Ok(Self { write, read })
    }

    /// Opens the SQLite file at `path`, which another process may be writing, for reading only.
    ///
    /// # Errors
    /// Where there is no such file, or it cannot be opened.
    pub async fn open_sqlite_for_reading(path: &Path) -> Result<Self, DatabaseError> {
        let opened = |source| DatabaseError::Open { place: path.display().to_string(), source };
        let read = connect_sqlite(path, Access::Readers).await.map_err(opened)?;
        Ok(Self { write: read.clone(), read })
    }

    /// Begins a transaction that may write. On SQLite it holds the file's one write lock from the start: a transaction that
    /// reads first and writes later could not be retried inside.
    ///
    /// # Errors
    /// Where no connection is to be had.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// For the few writes that are no input of the engine, such as trimming the inbox.
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.write
    }

    /// For reading what is committed.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Whether it is PostgreSQL or SQLite.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// Closes all connections; SQLite then folds its log into the file.
    pub async fn close(self) {
        for connection in [self.read, self.write] {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "a database connection did not close");
            }
        }
    }
}

/// Who uses a connection to an SQLite file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Writer,
    Readers,
}

async fn connect_sqlite(path: &Path, access: Access) -> Result<DatabaseConnection, DbErr> {
    let path = path.to_owned();
    let writes = access == Access::Writer;
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(if writes { 1 } else { 4 })
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .sqlx_logging(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .in_memory(false)
                .shared_cache(false)
                .filename(&path)
                .create_if_missing(writes)
                .read_only(!writes)
                .busy_timeout(Duration::from_secs(10))
                .pragma("cache_size", "-16000")
                .pragma("temp_store", "memory");
            if !writes {
                return sqlite;
            }
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                // An answer given to a client is durable: the log is on the disk before the commit returns.
                .synchronous(SqliteSynchronous::Full)
                // 16 MiB of log between checkpoints; the file does not stay larger than four times that.
                .pragma("wal_autocheckpoint", "4096")
                .pragma("journal_size_limit", "67108864")
        });
    sea_orm::Database::connect(options).await
}
