//! Queries on the dead letters, for operators and for the engine.

use std::collections::HashSet;

use saga_message::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Statement, Value, prelude::Expr, sea_query::ArrayType,
};
use uuid::Uuid;

use super::{Database, bulk::with_keys, tables::dead_letter};

/// A dead letter without its body, which may be large.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct DeadLetterSummary {
    /// The event's id, or one derived from its body if it has no readable id.
    pub message_id: Uuid,
    /// Why the event cannot be handled, as text.
    pub reason: String,
    /// How often handling it was attempted.
    pub attempts: i64,
    /// The name of the event, if it can be decoded.
    pub event: Option<String>,
    /// What the event is about, if it can be decoded.
    pub subject: Option<String>,
    /// When it was dead-lettered, in microseconds since 1970.
    pub dead_lettered_at: i64,
    /// The size of its body, in bytes.
    pub size: i64,
}

/// Returns one page of the dead letters, in ascending order of their ids: at most `limit`, starting behind `after`.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn dead_letters(
    database: &Database,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<DeadLetterSummary>, DbErr> {
    use dead_letter::Column;
    dead_letter::Entity::find()
        .select_only()
        .columns([Column::MessageId, Column::Reason, Column::Attempts, Column::Event, Column::Subject])
        .column_as(Column::DeadLetteredAt, "dead_lettered_at")
        // On both databases, LENGTH of a binary column is its number of bytes, and is known without reading the body.
        .column_as(Expr::cust("CAST(LENGTH(body) AS BIGINT)"), "size")
        .apply_if(after, |query, after| query.filter(Column::MessageId.gt(after)))
        .order_by_asc(Column::MessageId)
        .limit(limit)
        .into_model()
        .all(&database.reader())
        .await
}

/// Returns a dead letter with its body.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn dead_letter(database: &Database, message_id: Uuid) -> Result<Option<dead_letter::Model>, DbErr> {
    dead_letter::Entity::find_by_id(message_id).one(&database.reader()).await
}

/// Returns the ids of the messages that were dead-lettered up to `until`, in ascending order: at most `limit`, starting
/// behind `after`.
pub async fn dead_letter_ids(
    database: &Database,
    after: Option<Uuid>,
    until: Timestamp,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    use dead_letter::Column;
    dead_letter::Entity::find()
        .select_only()
        .column(Column::MessageId)
        .apply_if(after, |query, after| query.filter(Column::MessageId.gt(after)))
        .filter(Column::DeadLetteredAt.lte(until.unix_micros()))
        .order_by_asc(Column::MessageId)
        .limit(limit)
        .into_tuple()
        .all(&database.reader())
        .await
}

/// Deletes these dead letters, and returns the ids of those that existed. If two transactions delete the same one, the
/// second waits for the first, and gets it only if the first is rolled back.
pub async fn take_dead_letters(
    transaction: &DatabaseTransaction,
    message_ids: Vec<Uuid>,
) -> Result<HashSet<Uuid>, DbErr> {
    let keys: Vec<Value> = message_ids.into_iter().map(Into::into).collect();
    let backend = transaction.get_database_backend();
    let head = "DELETE FROM dead_letters WHERE message_id";
    let mut taken = HashSet::new();
    for statement in with_keys(backend, &ArrayType::Uuid, keys, head, " RETURNING message_id") {
        for row in transaction.query_all_raw(statement).await? {
            taken.insert(row.try_get_by_index(0)?);
        }
    }
    Ok(taken)
}

/// Records another failed attempt to handle a dead letter. Returns whether the dead letter still exists.
pub async fn count_attempt(transaction: &DatabaseTransaction, message_id: Uuid, reason: &str) -> Result<bool, DbErr> {
    let sql = "UPDATE dead_letters SET attempts = attempts + 1, reason = $2 WHERE message_id = $1";
    let values = [message_id.into(), reason.into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected() > 0)
}
