use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_tasks"
    }
}

/// What the gateway is still to be asked: `due_at` is when, in microseconds since 1970, or null if nothing is;
/// `attempts` counts the questions without an answer, and `unanswered` those that the gateway may have acted on;
/// `lines` is JSON, for the event about the answer; `payment_method` is the gateway's token of a means of payment,
/// until the payment is prepared. `gateway_key` is the gateway's key of a payment without a saga, and `idempotency_key`
/// the client's.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE payments ADD COLUMN due_at BIGINT;
             ALTER TABLE payments ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
             ALTER TABLE payments ADD COLUMN unanswered BIGINT NOT NULL DEFAULT 0;
             ALTER TABLE payments ADD COLUMN lines TEXT;
             ALTER TABLE payments ADD COLUMN payment_method TEXT;
             ALTER TABLE payments ADD COLUMN gateway_key UUID;
             ALTER TABLE payments ADD COLUMN idempotency_key TEXT;
             CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;
             CREATE UNIQUE INDEX payments_by_key ON payments (idempotency_key) WHERE idempotency_key IS NOT NULL;",
        )
        .await
    }
}
