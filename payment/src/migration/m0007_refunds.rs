use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_refunds"
    }
}

/// `refunds` is JSON: what is to go back to the customer and what has gone back, oldest first. Null if nothing is, as
/// in existing rows.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "ALTER TABLE payments ADD COLUMN refunds TEXT;").await
    }
}
