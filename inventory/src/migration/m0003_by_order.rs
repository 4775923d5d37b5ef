use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_by_order"
    }
}

/// For the reservations of an order. An order has few, but its id may come back in a rebuilt order database.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "CREATE INDEX reservations_by_order ON reservations (order_id, reservation_id);").await
    }
}
