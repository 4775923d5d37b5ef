use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_owners"
    }
}

/// `owner` is the owner of the API key with which a client has made the reservation. It is empty if there was none, if
/// the reservation belongs to an order, and in rows of the previous release. The index is empty at first, and costs
/// reservations without an owner nothing.
///
/// From this release on, `wake_at` of a client's reservation is when it expires. A replica of the previous release does
/// nothing about it.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE reservations ADD COLUMN owner TEXT COLLATE \"C\" NOT NULL DEFAULT '';
             CREATE INDEX reservations_by_owner ON reservations (owner, reservation_id) WHERE owner <> '';",
        )
        .await
    }
}
