//! The database that a test runs on.

use std::path::Path;

use saga_database::{Database, DatabaseArgs};
use sea_orm_migration::MigratorTrait;
use shared_events::Service;

/// The database at `file`, or in its place one on the server, where this is the test binary `postgres`.
pub(crate) async fn open<M: MigratorTrait>(service: Service, file: &Path) -> Database {
    let database_url = test_servers::database_url(env!("CARGO_CRATE_NAME"), file);
    let args = DatabaseArgs { database_url, database_password_file: None, database_connections: 10 };
    args.for_service(service.name()).unwrap().open::<M>().await.unwrap()
}
