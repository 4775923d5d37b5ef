//! Queries on the API keys, for the access control of a service and for the command that manages keys.

use saga_message::Timestamp;
use sea_orm::{ActiveValue, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryOrder, Statement, Value};

use super::tables::api_key;

/// Returns all keys, oldest first, also those that have expired or were revoked.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn api_keys<C: ConnectionTrait>(connection: &C) -> Result<Vec<api_key::Model>, DbErr> {
    use api_key::Column;
    api_key::Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::KeyId).all(connection).await
}

/// Stores a key.
///
/// # Errors
/// If there is a key with this id, or the database fails or is unavailable.
pub async fn insert_api_key<C: ConnectionTrait>(connection: &C, key: &api_key::Model) -> Result<(), DbErr> {
    let mut row = key.clone().into_active_model();
    // Otherwise a primary key that is a text counts as one that the database assigns.
    row.key_id = ActiveValue::Set(key.key_id.clone());
    api_key::Entity::insert(row).exec_without_returning(connection).await.map(drop)
}

/// Revokes a key, unless it was revoked before. Returns whether it exists.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn revoke_api_key<C: ConnectionTrait>(connection: &C, id: &str, at: Timestamp) -> Result<bool, DbErr> {
    let sql = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE key_id = $1";
    execute(connection, sql, [id.into(), at.unix_micros().into()]).await
}

/// Lets a key expire at this time, unless it expires before. Returns whether it exists.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn expire_api_key<C: ConnectionTrait>(connection: &C, id: &str, at: Timestamp) -> Result<bool, DbErr> {
    let sql =
        "UPDATE api_keys SET expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END WHERE key_id = $1";
    execute(connection, sql, [id.into(), at.unix_micros().into()]).await
}

/// Deletes a key that nobody has got. Returns whether it existed.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn delete_api_key<C: ConnectionTrait>(connection: &C, id: &str) -> Result<bool, DbErr> {
    execute(connection, "DELETE FROM api_keys WHERE key_id = $1", [id.into()]).await
}

async fn execute<C: ConnectionTrait, const N: usize>(
    connection: &C,
    sql: &str,
    values: [Value; N],
) -> Result<bool, DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    Ok(connection.execute_raw(statement).await?.rows_affected() > 0)
}
