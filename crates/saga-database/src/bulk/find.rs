use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, IdenStatic, QueryResult, Statement, TryGetable,
    Value, sea_query::ArrayType,
};

use super::columns::{array_of, chunks, names};
use crate::{Rows, rows::each_row};

/// Returns the rows whose `column` is one of `keys`.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn find_by<E, C>(connection: &C, column: E::Column, keys: Vec<Value>) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let found = select::<E, C>(connection, column, keys, "").await?;
    found.iter().map(|row| E::Model::from_query_result(row, "")).collect()
}

/// Returns the rows whose `column` is one of `keys`, each converted separately and with its `key`, as in
/// [`read_rows`](crate::read_rows).
///
/// # Errors
/// If the database fails.
pub async fn find_each_by<E, C, K, T>(
    connection: &C,
    column: E::Column,
    keys: Vec<Value>,
    key: E::Column,
    of_row: impl Fn(E::Model) -> Result<T, DbErr>,
) -> Result<Rows<K, T>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
    K: TryGetable,
{
    let found = select::<E, C>(connection, column, keys, "").await?;
    each_row::<E, K, T>(&found, key, of_row)
}

/// Returns the rows whose `column` is one of `keys`, and locks them until the end of the transaction. They are locked
/// in the order of `column`, so that two batches cannot deadlock.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn find_locked<E, C>(connection: &C, column: E::Column, keys: Vec<Value>) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    // On SQLite the transaction is the only writer, so there is nothing to lock.
    let tail = match connection.get_database_backend() {
        DbBackend::Sqlite => String::new(),
        _ => format!(" ORDER BY {} FOR UPDATE", column.as_str()),
    };
    let found = select::<E, C>(connection, column, keys, &tail).await?;
    found.iter().map(|row| E::Model::from_query_result(row, "")).collect()
}

async fn select<E, C>(
    connection: &C,
    column: E::Column,
    keys: Vec<Value>,
    tail: &str,
) -> Result<Vec<QueryResult>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let columns = names::<E>().join(", ");
    let head = format!("SELECT {columns} FROM {} WHERE {}", E::default().table_name(), column.as_str());
    let mut found = Vec::new();
    for statement in with_keys(connection.get_database_backend(), &array_of(&column), keys, &head, tail) {
        found.append(&mut connection.query_all_raw(statement).await?);
    }
    Ok(found)
}

pub(crate) fn with_keys(
    backend: DbBackend,
    kind: &ArrayType,
    keys: Vec<Value>,
    head: &str,
    tail: &str,
) -> Vec<Statement> {
    if keys.is_empty() {
        return Vec::new();
    }
    if backend == DbBackend::Postgres {
        let sql = format!("{head} = ANY($1){tail}");
        let array = Value::Array(kind.clone(), Some(Box::new(keys)));
        return vec![Statement::from_sql_and_values(backend, sql, [array])];
    }
    chunks(&keys)
        .map(|chunk| {
            let placeholders = vec!["?"; chunk.len()].join(", ");
            Statement::from_sql_and_values(backend, format!("{head} IN ({placeholders}){tail}"), chunk.iter().cloned())
        })
        .collect()
}
