//! The migrations of the payment database. A released migration is never edited.

mod m0002_payments;
mod m0003_by_order;
mod m0004_tasks;
mod m0005_by_reference;
mod m0006_owned_keys;
mod m0007_refunds;
mod m0008_refunded_by_reference;

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
            Box::new(m0002_payments::Migration),
            Box::new(SystemIdentityTable),
            Box::new(DeadLetterSubject { was: "order_id" }),
            Box::new(m0003_by_order::Migration),
            Box::new(ApiKeysTable),
            Box::new(m0004_tasks::Migration),
            Box::new(AuditLogTable),
            Box::new(m0005_by_reference::Migration),
            Box::new(m0006_owned_keys::Migration),
            Box::new(m0007_refunds::Migration),
            Box::new(m0008_refunded_by_reference::Migration),
        ]
    }
}
