use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_traces"
    }
}

/// `traceparent` is the trace context of the event. It is null if the event has none, and in rows of earlier releases.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(manager, "ALTER TABLE order_events ADD COLUMN traceparent TEXT;").await
    }
}
