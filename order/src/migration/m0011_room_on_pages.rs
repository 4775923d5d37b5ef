use saga_database::run_sql;
use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0011_room_on_pages"
    }
}

/// On PostgreSQL, the pages that orders are added to stay half empty. An order is updated soon after, and a version of
/// it that fits on the same page, with the same values in the indexes, needs no entry in any of them
/// (<https://www.postgresql.org/docs/current/storage-hot.html>); and the room of versions that no transaction can see
/// any more is used again. Existing pages stay as they are.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Postgres => run_sql(manager, "ALTER TABLE orders SET (fillfactor = 50)").await,
            _ => Ok(()),
        }
    }
}
