use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0010_unsettled"
    }
}

/// Indexes of what has failed, for the list of what is not settled. What is still open is found by when it is due.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE INDEX orders_capture_failed ON orders (order_id) WHERE capture = 'FAILED';
             CREATE INDEX refunds_failed ON refunds (refund_id) WHERE state = 'FAILED';",
        )
        .await
    }
}
