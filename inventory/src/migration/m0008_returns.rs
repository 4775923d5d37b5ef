use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_returns"
    }
}

/// `returns` is JSON: the refunds with which goods of the order came back, and the goods. Null if none did, as in
/// existing rows.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "ALTER TABLE reservations ADD COLUMN returns TEXT;").await
    }
}
