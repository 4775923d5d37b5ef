use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, IdenStatic, Statement, Value, sea_query::ArrayType,
};

use super::columns::{array_of, chunks, names};

/// The rows whose `column` is one of `keys`.
///
/// # Errors
/// What the database says.
pub async fn find_by<E, C>(connection: &C, column: E::Column, keys: Vec<Value>) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let columns = names::<E>().join(", ");
    let head = format!("SELECT {columns} FROM {} WHERE {}", E::default().table_name(), column.as_str());
    select::<E, C>(connection, column, keys, &head, "").await
}

/// The same, locked until the end of the transaction, in the order of `column`, so that two batches cannot deadlock.
///
/// # Errors
/// What the database says.
pub async fn find_locked<E, C>(connection: &C, column: E::Column, keys: Vec<Value>) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let columns = names::<E>().join(", ");
    let head = format!("SELECT {columns} FROM {} WHERE {}", E::default().table_name(), column.as_str());
    // On SQLite the transaction is the only writer.
    let tail = match connection.get_database_backend() {
        DbBackend::Sqlite => String::new(),
        _ => format!(" ORDER BY {} FOR UPDATE", column.as_str()),
    };
    select::<E, C>(connection, column, keys, &head, &tail).await
}

async fn select<E, C>(
    connection: &C,
    column: E::Column,
    keys: Vec<Value>,
    head: &str,
    tail: &str,
) -> Result<Vec<E::Model>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let mut found = Vec::new();
    for statement in with_keys(connection.get_database_backend(), &array_of(&column), keys, head, tail) {
        for row in connection.query_all_raw(statement).await? {
            found.push(E::Model::from_query_result(&row, "")?);
        }
    }
    Ok(found)
}

pub(in crate::database) fn with_keys(
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
            let places = vec!["?"; chunk.len()].join(", ");
            Statement::from_sql_and_values(backend, format!("{head} IN ({places}){tail}"), chunk.iter().cloned())
        })
        .collect()
}
