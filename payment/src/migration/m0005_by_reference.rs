use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_by_reference"
    }
}

/// For webhooks, which name a payment by the gateway's reference. Only payments that wait for an answer are in it.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "CREATE INDEX payments_by_reference ON payments (reference) WHERE due_at IS NOT NULL;").await
    }
}
