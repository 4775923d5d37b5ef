use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic, Statement, Value, sea_query::ArrayType};

use super::{
    columns::array_of,
    find::with_keys,
    insert::{Insert, overwriting},
};
use crate::ToSave;

/// Collects what a transaction writes. On PostgreSQL it is sent as one statement, however many tables it touches, and
/// so costs one round trip.
///
/// Within that statement no part sees what another part writes, and the order is undefined, so no row may occur in it
/// twice.
#[derive(Debug, Default)]
pub struct Writes(Vec<Write>);

#[derive(Debug)]
enum Write {
    Insert(Insert),
    Delete { head: String, kind: ArrayType, keys: Vec<Value> },
}

impl Writes {
    /// Saves the rows of a working set. New rows are inserted, and never overwrite anything.
    pub fn save<E: EntityTrait>(&mut self, rows: &ToSave<E::Model>) -> &mut Self {
        self.insert::<E>(&rows.new).upsert::<E>(&rows.changed)
    }

    /// Inserts `rows`; a row that exists already is a unique violation.
    pub fn insert<E: EntityTrait>(&mut self, rows: &[E::Model]) -> &mut Self {
        self.put::<E>(rows, String::new)
    }

    /// Inserts those of `rows` that do not exist yet.
    pub fn insert_missing<E: EntityTrait>(&mut self, rows: &[E::Model]) -> &mut Self {
        self.put::<E>(rows, || " ON CONFLICT DO NOTHING".to_owned())
    }

    /// Inserts `rows`, and overwrites those that exist.
    pub fn upsert<E: EntityTrait>(&mut self, rows: &[E::Model]) -> &mut Self {
        self.put::<E>(rows, overwriting::<E>)
    }

    /// Deletes the rows whose `column` is one of `keys`.
    pub fn delete<E: EntityTrait>(&mut self, column: E::Column, keys: Vec<Value>) -> &mut Self {
        if !keys.is_empty() {
            let head = format!("DELETE FROM {} WHERE {}", E::default().table_name(), column.as_str());
            self.0.push(Write::Delete { head, kind: array_of(&column), keys });
        }
        self
    }

    fn put<E: EntityTrait>(&mut self, rows: &[E::Model], clause: impl FnOnce() -> String) -> &mut Self {
        self.0.extend(Insert::of::<E>(rows, clause()).map(Write::Insert));
        self
    }

    /// Executes all collected writes, and returns how many rows were deleted. The collection is empty afterwards.
    ///
    /// # Errors
    /// If the database fails or is unavailable.
    pub async fn run<C: ConnectionTrait>(&mut self, connection: &C) -> Result<u64, DbErr> {
        let writes = std::mem::take(&mut self.0);
        match connection.get_database_backend() {
            _ if writes.is_empty() => Ok(0),
            DbBackend::Postgres => {
                let counted = connection.query_one_raw(in_one(writes)).await?;
                let deleted: i64 = counted.ok_or(DbErr::RecordNotFound("a sum".to_owned()))?.try_get_by_index(0)?;
                Ok(deleted.unsigned_abs())
            }
            backend => {
                let mut deleted = 0;
                for write in writes {
                    deleted += one_by_one(connection, backend, write).await?;
                }
                Ok(deleted)
            }
        }
    }
}

/// Builds the single statement for PostgreSQL: each write is a common table expression, and the final SELECT counts the
/// deleted rows.
fn in_one(writes: Vec<Write>) -> Statement {
    let (mut parts, mut arrays, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
    for (index, write) in writes.into_iter().enumerate() {
        let name = format!("write_{index}");
        let sql = match write {
            Write::Insert(insert) => insert.unnested(&mut arrays),
            Write::Delete { head, kind, keys } => {
                arrays.push(Value::Array(kind, Some(Box::new(keys))));
                deletions.push(format!("(SELECT count(*) FROM {name})"));
                format!("{head} = ANY(${}) RETURNING 1", arrays.len())
            }
        };
        parts.push(format!("{name} AS ({sql})"));
    }
    deletions.push("0::bigint".to_owned());
    let sql = format!("WITH {} SELECT {}", parts.join(", "), deletions.join(" + "));
    Statement::from_sql_and_values(DbBackend::Postgres, sql, arrays)
}

async fn one_by_one<C: ConnectionTrait>(connection: &C, backend: DbBackend, write: Write) -> Result<u64, DbErr> {
    let mut deleted = 0;
    match write {
        Write::Insert(insert) => {
            for statement in insert.in_chunks(backend) {
                connection.execute_raw(statement).await?;
            }
        }
        Write::Delete { head, kind, keys } => {
            for statement in with_keys(backend, &kind, keys, &head, "") {
                deleted += connection.execute_raw(statement).await?.rows_affected();
            }
        }
    }
    Ok(deleted)
}
