//! The migrations of the order database. A released migration is never edited.

mod m0002_orders;
mod m0003_version;
mod m0004_causes;
mod m0005_traces;
mod m0006_owners;
mod m0007_payment_methods;
mod m0008_captures;
mod m0009_refunds;
mod m0010_unsettled;
mod m0011_room_on_pages;

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
            Box::new(m0002_orders::Migration),
            Box::new(m0003_version::Migration),
            Box::new(SystemIdentityTable),
            Box::new(DeadLetterSubject { was: "order_id" }),
            Box::new(m0004_causes::Migration),
            Box::new(m0005_traces::Migration),
            Box::new(m0006_owners::Migration),
            Box::new(ApiKeysTable),
            Box::new(m0007_payment_methods::Migration),
            Box::new(AuditLogTable),
            Box::new(m0008_captures::Migration),
            Box::new(m0009_refunds::Migration),
            Box::new(m0010_unsettled::Migration),
            Box::new(m0011_room_on_pages::Migration),
        ]
    }
}
