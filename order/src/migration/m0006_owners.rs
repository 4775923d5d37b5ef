use saga_database::run_sql;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_owners"
    }
}

/// `owner` is the owner of the API key with which the order was placed. It is empty if there was none, as in existing
/// rows, and in rows that a replica of the previous release inserts.
///
/// The idempotency key of an order without an owner is in `idempotency_key`, which stays unique. That of an order with
/// an owner is in `scoped_key`: the key, U+001F and the owner. So no row has to be written, the constraint stays, which
/// SQLite could only remove with a copy of the table, and a replica of the previous release never takes the key of an
/// owner for one of its own. Both indexes are empty at first, and cost an order without an owner nothing. In
/// `scoped_key` the key comes first, so that the orders of all owners with one key are next to each other.
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "ALTER TABLE orders ADD COLUMN owner TEXT COLLATE \"C\" NOT NULL DEFAULT '';
             ALTER TABLE orders ADD COLUMN scoped_key TEXT COLLATE \"C\";
             CREATE INDEX orders_by_owner ON orders (owner, order_id) WHERE owner <> '';
             CREATE UNIQUE INDEX orders_by_scoped_key ON orders (scoped_key) WHERE scoped_key IS NOT NULL;",
        )
        .await
    }
}
