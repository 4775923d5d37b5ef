use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_refunded_by_reference"
    }
}

/// For webhooks about refunds, which name a payment by the gateway's reference. Only payments with refunds are in it.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX refunded_payments_by_reference ON payments (reference) WHERE refunds IS NOT NULL;";
        run_sql(manager, index).await
    }
}
