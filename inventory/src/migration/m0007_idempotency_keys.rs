use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_idempotency_keys"
    }
}

/// The requests over REST that were granted and had an idempotency key. `owned_key` is the key, U+001F and the owner of
/// the API key, which is empty if there was none. `granted` is JSON: what the request was, and its answer. `expires_at`
/// is when the row may be deleted, in microseconds since 1970.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE idempotency_keys (
                 owned_key TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
                 granted TEXT NOT NULL,
                 expires_at BIGINT NOT NULL
             ) /* SQLite: WITHOUT ROWID */;
             CREATE INDEX idempotency_keys_to_delete ON idempotency_keys (expires_at);",
        )
        .await
    }
}
