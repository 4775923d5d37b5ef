//! The payment database, step by step. A step that has shipped is never edited.

mod m0002_payments;

use sea_orm_migration::prelude::*;
use service_kit::database::tables::{MessageTables, SystemIdentityTable};

/// All steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(MessageTables), Box::new(m0002_payments::Migration), Box::new(SystemIdentityTable)]
    }
}
