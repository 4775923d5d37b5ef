//! The table with a single row that stores which system a database belongs to.

use saga_message::{SystemId, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use sea_orm_migration::SchemaManager;
use uuid::Uuid;

use super::Database;

const TABLE: &str = "system_identity";
/// SeaORM's table of the applied migrations.
const MIGRATIONS: &str = "seaql_migrations";
/// The table of API keys, which may be made before the first start, and that of the log of who has made them.
const API_KEYS: &str = "api_keys";
const AUDIT_LOG: &str = "audit_log";

/// Returns the id of the system that this database belongs to, if it has one. It also works on a database that only an
/// older version, without system ids, has migrated.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn system_id(database: &Database) -> Result<Option<SystemId>, DbErr> {
    let reader = database.reader();
    if !SchemaManager::new(&reader).has_table(TABLE).await? {
        return Ok(None);
    }
    read_system_id(&reader).await
}

/// Returns the id of the system that this database belongs to, if it has one. The migrations must have been applied.
pub async fn read_system_id<C: ConnectionTrait>(connection: &C) -> Result<Option<SystemId>, DbErr> {
    let sql = format!("SELECT system_id FROM {TABLE}");
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    let Some(row) = row else { return Ok(None) };
    let id: Uuid = row.try_get_by_index(0)?;
    SystemId::try_from(id).map(Some).map_err(|error| DbErr::Custom(format!("{id} in {TABLE}: {error}")))
}

/// Makes the database belong to the system `id`, unless it belongs to one already, and returns the system that it
/// belongs to then. If two replicas do so at the same time, the second waits for the first.
pub async fn adopt_system_id(transaction: &DatabaseTransaction, id: SystemId) -> Result<SystemId, DbErr> {
    let sql = format!("INSERT INTO {TABLE} (one, system_id) VALUES (1, $1) ON CONFLICT DO NOTHING");
    execute(transaction, &sql, id).await?;
    read_system_id(transaction).await?.ok_or_else(|| DbErr::RecordNotFound(format!("the row of {TABLE}")))
}

/// Makes the database belong to another system.
pub async fn replace_system_id(transaction: &DatabaseTransaction, id: SystemId) -> Result<(), DbErr> {
    execute(transaction, &format!("UPDATE {TABLE} SET system_id = $1"), id).await
}

async fn execute(transaction: &DatabaseTransaction, sql: &str, id: SystemId) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [Uuid::from(id).into()])).await.map(drop)
}

/// Returns whether all tables are empty, apart from those of the system id, the API keys, the audit log and the
/// migrations.
pub async fn has_no_data(transaction: &DatabaseTransaction) -> Result<bool, DbErr> {
    let backend = transaction.get_database_backend();
    let tables = match backend {
        DbBackend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        }
        _ => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
    };
    for table in transaction.query_all_raw(Statement::from_string(backend, tables)).await? {
        let table: String = table.try_get_by_index(0)?;
        let any = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.replace('"', "\"\""));
        let own = [TABLE, MIGRATIONS, API_KEYS, AUDIT_LOG].contains(&&*table);
        if !own && transaction.query_one_raw(Statement::from_string(backend, any)).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns when the database's first migration was applied.
pub async fn made_at<C: ConnectionTrait>(connection: &C) -> Result<Timestamp, DbErr> {
    let sql = format!("SELECT MIN(applied_at) FROM {MIGRATIONS}");
    let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    let seconds: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    Ok(Timestamp::from_unix_micros(seconds.unwrap_or_default().saturating_mul(1_000_000)))
}
