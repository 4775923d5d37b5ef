use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_causes"
    }
}

/// `causation_id` is the id of what caused the event; `reason` and `item_sku` are the part of its content that is not
/// in the order. They are null in existing rows, and in rows that a replica of the previous release inserts.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE order_events ADD COLUMN causation_id UUID;
             ALTER TABLE order_events ADD COLUMN reason TEXT;
             ALTER TABLE order_events ADD COLUMN item_sku TEXT;",
        )
        .await
    }
}
