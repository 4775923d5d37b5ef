use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_captures"
    }
}

/// `capture` is what became of the capture of a confirmed order's payment: `CAPTURED` or `FAILED`, or null for as long
/// as it is not known. An order waits for that in `wake_at`, so the index has only the orders that a release without
/// captures has confirmed: existing ones, and those that a replica of it still confirms. They are taken from it a few
/// at a time, so no row has to be written here. Its condition has no plain `status = …`, for which SQLite would rather
/// read all confirmed orders by `orders_by_status`.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE orders ADD COLUMN capture TEXT;
             CREATE INDEX orders_to_capture ON orders (order_id)
                 WHERE status || '' = 'CONFIRMED' AND capture IS NULL AND wake_at IS NULL;",
        )
        .await
    }
}
