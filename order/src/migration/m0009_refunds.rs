use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0009_refunds"
    }
}

/// Times are in microseconds since 1970, amounts in minor units of the order's currency. `items` is JSON. A key is one
/// of its order only. `refunded` of an order is the sum of its refunds that have succeeded, and `refund` of an event is
/// the JSON of its content. Both columns have a default for rows of a replica of the previous release.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE refunds (
                 refund_id UUID NOT NULL PRIMARY KEY,
                 order_id BIGINT NOT NULL,
                 minor_units BIGINT NOT NULL CHECK (minor_units > 0),
                 items TEXT,
                 restock BOOLEAN NOT NULL,
                 reason TEXT,
                 idempotency_key TEXT,
                 state TEXT NOT NULL,
                 failure TEXT,
                 restocked BOOLEAN NOT NULL,
                 requested_at BIGINT NOT NULL,
                 changed_at BIGINT NOT NULL,
                 wake_at BIGINT,
                 repeats BIGINT NOT NULL,
                 UNIQUE (order_id, idempotency_key)
             );
             CREATE INDEX refunds_by_order ON refunds (order_id, refund_id);
             CREATE INDEX refunds_to_wake ON refunds (wake_at) WHERE wake_at IS NOT NULL;
             ALTER TABLE orders ADD COLUMN refunded BIGINT NOT NULL DEFAULT 0;
             ALTER TABLE order_events ADD COLUMN refund TEXT;",
        )
        .await
    }
}
