use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_owned_keys"
    }
}

/// The idempotency key of a client with an API key is in `scoped_key`: the key, U+001F and the owner of the API key.
/// That of a client without one, as in existing rows, stays in `idempotency_key`. So each owner has keys of its own, no
/// row has to be written, and a replica of the previous release never takes the key of an owner for one of its own.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE payments ADD COLUMN scoped_key TEXT COLLATE \"C\";
             CREATE UNIQUE INDEX payments_by_scoped_key ON payments (scoped_key) WHERE scoped_key IS NOT NULL;",
        )
        .await
    }
}
