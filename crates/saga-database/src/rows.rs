//! Reads rows one by one, so that one unreadable row does not hide the others. A row may be damaged, or contain
//! something that this release does not know, such as a currency that no longer exists.

use std::{fmt::Display, time::Duration};

use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic as _, QueryResult, QueryTrait as _, Select,
    TryGetable,
};

use saga_support::LogLimit;

/// Rows, each with its key, and its content or the error why it cannot be read.
pub type Rows<K, T> = Vec<(K, Result<T, DbErr>)>;

/// Returns the rows that `select` finds, in its order. `of_row` converts each of them.
///
/// # Errors
/// If the database fails.
pub async fn read_rows<E, C, K, T>(
    connection: &C,
    select: Select<E>,
    key: E::Column,
    of_row: impl Fn(E::Model) -> Result<T, DbErr>,
) -> Result<Rows<K, T>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
    K: TryGetable,
{
    let rows = connection.query_all_raw(select.build(connection.get_database_backend())).await?;
    each_row::<E, K, T>(&rows, key, of_row)
}

/// Converts each row separately, and reads its key.
pub(crate) fn each_row<E: EntityTrait, K: TryGetable, T>(
    rows: &[QueryResult],
    key: E::Column,
    of_row: impl Fn(E::Model) -> Result<T, DbErr>,
) -> Result<Rows<K, T>, DbErr> {
    let read = |row| Ok((K::try_get(row, "", key.as_str())?, E::Model::from_query_result(row, "").and_then(&of_row)));
    rows.iter().map(read).collect()
}

/// Returns the rows that can be read. The others are logged and left out.
pub fn readable<K: Display, T>(table: &'static str, rows: Rows<K, T>) -> Vec<T> {
    let read = |(key, read): (K, Result<T, DbErr>)| read.inspect_err(|error| left_out(table, &key, error)).ok();
    rows.into_iter().filter_map(read).collect()
}

/// The rate is limited, because clients cause these lines by reading lists.
fn left_out(table: &'static str, key: &dyn Display, error: &DbErr) {
    static LIMIT: LogLimit = LogLimit::new(Duration::from_secs(1));
    if let Some(not_logged_before) = LIMIT.admit() {
        tracing::error!(table, %key, %error, not_logged_before, "a row cannot be read, and is left out; repair it");
    }
}
