//! The parked messages, as operators and the engine use them.

use std::collections::HashSet;

use saga_message::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Statement, Value, prelude::Expr, sea_query::ArrayType,
};
use uuid::Uuid;

use super::{Database, bulk::with_keys, tables::dead_letter};

/// A parked message without its body, which may be large.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct DeadLetterSummary {
    /// Its id, or one made from its body.
    pub message_id: Uuid,
    /// Why it cannot be handled, in words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The name of the event, where it can be read.
    pub event: Option<String>,
    /// What it is about, where it can be read.
    pub subject: Option<String>,
    /// When it was parked, in microseconds since 1970.
    pub parked_at: i64,
    /// How large its body is, in bytes.
    pub size: i64,
}

/// One page of the parked messages, ascending by id; at most `limit`, behind `after`.
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
        .columns([
            Column::MessageId,
            Column::Reason,
            Column::Attempts,
            Column::Event,
            Column::Subject,
            Column::ParkedAt,
        ])
        // Of bytes it is the same on both databases: how many there are. Neither reads the body for it.
        .column_as(Expr::cust("CAST(LENGTH(body) AS BIGINT)"), "size")
        .apply_if(after, |query, after| query.filter(Column::MessageId.gt(after)))
        .order_by_asc(Column::MessageId)
        .limit(limit)
        .into_model()
        .all(&database.reader())
        .await
}

/// A parked message, whole.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn dead_letter(database: &Database, message_id: Uuid) -> Result<Option<dead_letter::Model>, DbErr> {
    dead_letter::Entity::find_by_id(message_id).one(&database.reader()).await
}

/// The ids of the messages that were parked up to `until`, ascending; at most `limit`, behind `after`.
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
        .filter(Column::ParkedAt.lte(until.unix_micros()))
        .order_by_asc(Column::MessageId)
        .limit(limit)
        .into_tuple()
        .all(&database.reader())
        .await
}

/// Takes these messages out, and returns those that were there. Of two transactions that want the same one, the second
/// waits for the first, and gets it only where the first is rolled back.
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

/// A parked message was tried once more, in vain. Returns whether it is still there.
pub async fn count_attempt(transaction: &DatabaseTransaction, message_id: Uuid, reason: &str) -> Result<bool, DbErr> {
    let sql = "UPDATE dead_letters SET attempts = attempts + 1, reason = $2 WHERE message_id = $1";
    let values = [message_id.into(), reason.into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected() > 0)
}
