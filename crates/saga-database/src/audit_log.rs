//! Queries on the audit log.

use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::tables::audit_log;

/// Appends a row. Its `entry_id` is ignored: the database numbers the rows.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn append_to_audit_log<C: ConnectionTrait>(connection: &C, row: audit_log::Model) -> Result<(), DbErr> {
    let mut row = row.into_active_model();
    row.entry_id = ActiveValue::NotSet;
    audit_log::Entity::insert(row).exec_without_returning(connection).await.map(drop)
}

/// Returns at most `limit` rows behind the row `after` in the list, which begins with the oldest or the newest row.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn audit_log_page<C: ConnectionTrait>(
    connection: &C,
    after: Option<i64>,
    newest_first: bool,
    limit: u64,
) -> Result<Vec<audit_log::Model>, DbErr> {
    let (id, all) = (audit_log::Column::EntryId, audit_log::Entity::find().limit(limit));
    let query = match (newest_first, after) {
        (false, after) => all.filter(id.gt(after.unwrap_or(i64::MIN))).order_by_asc(id),
        (true, after) => all.filter(id.lt(after.unwrap_or(i64::MAX))).order_by_desc(id),
    };
    query.all(connection).await
}
