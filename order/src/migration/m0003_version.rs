use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_version"
    }
}

/// `version` increases by one with each change of the row. The default is for existing rows, and for rows that a
/// replica of the previous release inserts, which does not know the column.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "ALTER TABLE orders ADD COLUMN version BIGINT NOT NULL DEFAULT 1;").await
    }
}
