//! Statistics about a database, for operators.

use saga_message::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};

use super::Database;

/// The number of rows in the message tables.
#[derive(Debug, Clone, Copy)]
pub struct TableCounts {
    /// Events that are committed and not yet confirmed.
    pub outbox: u64,
    /// When the oldest event of the outbox was committed.
    pub oldest: Option<Timestamp>,
    /// Dead letters.
    pub dead_letters: u64,
}

/// The connections of one pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolStats {
    pub pool: &'static str,
    pub open: u32,
    pub idle: usize,
}

/// Counts the rows of the message tables.
///
/// # Errors
/// If the database cannot be read.
pub async fn table_counts(database: &Database) -> Result<TableCounts, DbErr> {
    // Ids grow with time, so the oldest event is the first by primary key.
    let sql = "SELECT (SELECT COUNT(*) FROM outbox), \
               (SELECT created_at FROM outbox ORDER BY message_id LIMIT 1), \
               (SELECT COUNT(*) FROM dead_letters)";
    let row = database.internal_reader().query_one_raw(Statement::from_string(database.backend(), sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("a query without a table has one row".to_owned()))?;
    let count = |index| row.try_get_by_index::<i64>(index).map(|count| u64::try_from(count).unwrap_or(0));
    let oldest: Option<i64> = row.try_get_by_index(1)?;
    let oldest = oldest.map(Timestamp::from_unix_micros);
    Ok(TableCounts { outbox: count(0)?, oldest, dead_letters: count(2)? })
}

impl Database {
    /// Returns how many connections each pool has open, and how many of them are idle. It sends no query.
    pub fn pool_stats(&self) -> [PoolStats; 3] {
        [stats("write", &self.writer()), stats("read", &self.reader()), stats("internal", &self.internal_reader())]
    }
}

fn stats(name: &'static str, connection: &DatabaseConnection) -> PoolStats {
    let (open, idle) = if connection.get_database_backend() == DbBackend::Postgres {
        let pool = connection.get_postgres_connection_pool();
        (pool.size(), pool.num_idle())
    } else {
        let pool = connection.get_sqlite_connection_pool();
        (pool.size(), pool.num_idle())
    };
    PoolStats { pool: name, open, idle }
}
