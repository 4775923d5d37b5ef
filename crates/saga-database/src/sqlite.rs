use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

/// What a connection to an SQLite file is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Writer,
    /// For clients.
    Readers,
    /// For the service itself.
    Internal,
}

pub(super) async fn connect(path: &Path, access: Access) -> Result<DatabaseConnection, DbErr> {
    let path = path.to_owned();
    let writes = access == Access::Writer;
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(match access {
            Access::Writer => 1,
            Access::Readers => 4,
            Access::Internal => 2,
        })
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
                // The log is on the disk before the commit returns, so what a client was answered is durable.
                .synchronous(SqliteSynchronous::Full)
                // Checkpoint every 16 MiB of log; the log file is truncated to four times that.
                .pragma("wal_autocheckpoint", "4096")
                .pragma("journal_size_limit", "67108864")
        });
    sea_orm::Database::connect(options).await
}
