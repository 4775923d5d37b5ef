use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_by_order"
    }
}

/// For the payments of an order. An order has few, but its id may come back in a rebuilt order database.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "CREATE INDEX payments_by_order ON payments (order_id, payment_id);").await
    }
}
