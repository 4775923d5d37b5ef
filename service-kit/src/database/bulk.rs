//! Rows in bulk: each function is one statement, however many rows it has, and the text of a statement does not depend
//! on their number, so that the database prepares it once.
//!
//! PostgreSQL gets one array a column (`UNNEST`). SQLite gets the rows in chunks of fixed sizes.

use std::fmt::Write as _;

use sea_orm::{
    ColumnTrait, ColumnType, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, IdenStatic, Iterable,
    ModelTrait, PrimaryKeyToColumn, Statement, Value, sea_query::ArrayType,
};

/// How many rows a statement of SQLite may have: few sizes, so that each is prepared once, and close enough together that
/// a batch takes few statements (as many as its number of rows has ones in binary).
const CHUNKS: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

/// Inserts `rows`.
///
/// # Errors
/// What the database says; a row that is there already is a unique violation.
pub async fn insert<E, C>(connection: &C, rows: &[E::Model]) -> Result<(), DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    run::<E, C>(connection, rows, "").await.map(drop)
}

/// Inserts those of `rows` that are not there yet.
///
/// # Errors
/// What the database says.
pub async fn insert_missing<E, C>(connection: &C, rows: &[E::Model]) -> Result<(), DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    run::<E, C>(connection, rows, " ON CONFLICT DO NOTHING").await.map(drop)
}

/// Inserts those of `rows` that are not there yet, and returns the first columns of their keys, in no order.
///
/// # Errors
/// What the database says.
pub async fn insert_new<E, C, K>(connection: &C, rows: &[E::Model]) -> Result<Vec<K>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
    K: sea_orm::TryGetable,
{
    let key = primary_key::<E>();
    let inserted =
        run::<E, C>(connection, rows, &format!(" ON CONFLICT ({0}) DO NOTHING RETURNING {0}", key.join(", "))).await?;
    inserted.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Inserts `rows`, or overwrites those that are there.
///
/// # Errors
/// What the database says.
pub async fn upsert<E, C>(connection: &C, rows: &[E::Model]) -> Result<(), DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let key = primary_key::<E>();
    let mut clause = format!(" ON CONFLICT ({}) DO UPDATE SET ", key.join(", "));
    let others = E::Column::iter().map(|column| column.as_str()).filter(|column| !key.contains(column));
    for (index, column) in others.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(clause, "{comma}{column} = excluded.{column}");
    }
    run::<E, C>(connection, rows, &clause).await.map(drop)
}

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

/// Deletes the rows whose `column` is one of `keys`, and returns how many there were.
///
/// # Errors
/// What the database says.
pub async fn delete_by<E, C>(connection: &C, column: E::Column, keys: Vec<Value>) -> Result<u64, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let head = format!("DELETE FROM {} WHERE {}", E::default().table_name(), column.as_str());
    let mut deleted = 0;
    for statement in with_keys(connection.get_database_backend(), &array_of(&column), keys, &head, "") {
        deleted += connection.execute_raw(statement).await?.rows_affected();
    }
    Ok(deleted)
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

pub(super) fn with_keys(
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

/// Inserts `rows` with `clause` behind, and returns the rows that the clause returns.
async fn run<E, C>(connection: &C, rows: &[E::Model], clause: &str) -> Result<Vec<sea_orm::QueryResult>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let backend = connection.get_database_backend();
    let columns = names::<E>();
    let head = format!("INSERT INTO {} ({}) ", E::default().table_name(), columns.join(", "));
    let mut statements = Vec::new();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if backend == DbBackend::Postgres {
        let (mut selected, mut unnested) = (String::new(), String::new());
        let mut arrays = Vec::with_capacity(columns.len());
        for (index, column) in E::Column::iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (kind, name) = (array_of(&column), column.as_str());
            let values = rows.iter().map(|row| row.get(column));
            if column.def().is_null() {
                let _ = write!(selected, "{comma}substr(NULLIF({name}, ''), 2)::{}", sql_type(&kind));
                let _ = write!(unnested, "{comma}${}::text[]", index + 1);
                arrays.push(Value::Array(ArrayType::String, Some(Box::new(values.map(as_text).collect()))));
            } else {
                let _ = write!(selected, "{comma}{name}");
                let _ = write!(unnested, "{comma}${}::{}[]", index + 1, sql_type(&kind));
                arrays.push(Value::Array(kind, Some(Box::new(values.collect()))));
            }
        }
        let sql = format!("{head}SELECT {selected} FROM UNNEST({unnested}) AS new ({}){clause}", columns.join(", "));
        statements.push(Statement::from_sql_and_values(backend, sql, arrays));
    } else {
        let row_of_places = format!("({})", vec!["?"; columns.len()].join(", "));
        for chunk in chunks(rows) {
            let sql = format!("{head}VALUES {}{clause}", vec![row_of_places.as_str(); chunk.len()].join(", "));
            let values = chunk.iter().flat_map(|row| E::Column::iter().map(|column| row.get(column)));
            statements.push(Statement::from_sql_and_values(backend, sql, values));
        }
    }
    let mut returned = Vec::new();
    let returning = clause.contains("RETURNING");
    for statement in statements {
        if returning {
            returned.append(&mut connection.query_all_raw(statement).await?);
        } else {
            connection.execute_raw(statement).await?;
        }
    }
    Ok(returned)
}

/// Cuts `all` into pieces of the sizes of [`CHUNKS`], the largest first.
fn chunks<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|&size| size <= rest.len())?;
        let (chunk, behind) = rest.split_at(size);
        rest = behind;
        Some(chunk)
    })
}

fn names<E: EntityTrait>() -> Vec<&'static str> {
    E::Column::iter().map(|column| column.as_str()).collect()
}

pub(super) fn primary_key<E: EntityTrait>() -> Vec<&'static str> {
    E::PrimaryKey::iter().map(|key| key.into_column().as_str()).collect()
}

/// The values of a column that may be null travel as text, for the driver's arrays hold no nulls: nothing at all is a null,
/// anything else stands behind a sign.
fn as_text(value: Value) -> Value {
    let text = match value {
        Value::String(text) => text,
        Value::BigInt(number) => number.map(|number| number.to_string()),
        Value::Uuid(id) => id.map(|id| id.to_string()),
        Value::Bool(flag) => flag.map(|flag| flag.to_string()),
        Value::Bytes(bytes) => bytes.map(|bytes| hex(&bytes)),
        // `array_of` knows no others.
        _ => None,
    };
    text.map_or_else(String::new, |text| format!("={text}")).into()
}

/// As PostgreSQL reads bytes.
fn hex(bytes: &[u8]) -> String {
    let mut text = "\\x".to_owned();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn array_of(column: &impl ColumnTrait) -> ArrayType {
    match column.def().get_column_type() {
        ColumnType::BigInteger => ArrayType::BigInt,
        ColumnType::Uuid => ArrayType::Uuid,
        ColumnType::Boolean => ArrayType::Bool,
        ColumnType::Blob | ColumnType::VarBinary(_) => ArrayType::Bytes,
        _ => ArrayType::String,
    }
}

fn sql_type(kind: &ArrayType) -> &'static str {
    match kind {
        ArrayType::BigInt => "bigint",
        ArrayType::Uuid => "uuid",
        ArrayType::Bool => "boolean",
        ArrayType::Bytes => "bytea",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_chunk() {
        for length in 0..300 {
            let all: Vec<usize> = (0..length).collect();
            let again: Vec<usize> = chunks(&all).flatten().copied().collect();
            assert_eq!(again, all);
            assert!(chunks(&all).all(|chunk| CHUNKS.contains(&chunk.len())));
        }
    }
}
