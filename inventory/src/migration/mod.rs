//! The migrations of the inventory database. A released migration is never edited.

mod m0002_stock;
mod m0003_by_order;
mod m0005_owners;
mod m0007_idempotency_keys;
mod m0008_returns;

use saga_database::tables::{ApiKeysTable, AuditLogTable, DeadLetterSubject, MessageTables, SystemIdentityTable};
use sea_orm_migration::prelude::*;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(MessageTables),
            Box::new(m0002_stock::Migration),
            Box::new(SystemIdentityTable),
            Box::new(DeadLetterSubject { was: "order_id" }),
            Box::new(m0003_by_order::Migration),
            Box::new(m0005_owners::Migration),
            Box::new(ApiKeysTable),
            Box::new(AuditLogTable),
            Box::new(m0007_idempotency_keys::Migration),
            Box::new(m0008_returns::Migration),
        ]
    }
}
