use saga_database::{Database, DatabaseArgs};
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::MigratorTrait;
use shared_events::Service;
use tempfile::TempDir;

/// The database that a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file in a temporary directory.
    Sqlite,
    /// A database on the test server.
    Postgres,
}

/// A new, empty database. A file is removed when this is dropped; a database on the server is removed with the server.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    _directory: Option<TempDir>,
}

impl TestDatabase {
    /// Creates a database.
    ///
    /// # Panics
    /// If there is no test server: a test that needs one must not pass without it.
    #[must_use]
    pub fn create(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", directory.path().join("test.db").display());
                Self { url, _directory: Some(directory) }
            }
            DatabaseKind::Postgres => Self { url: test_servers::create_database(), _directory: None },
        }
    }

    /// Returns its URL, as in the settings of a service.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it as `service` does, with the tables of `M`. Each call counts as another process for the database.
    pub async fn open<M: MigratorTrait>(&self, service: Service) -> Database {
        let database_url = self.url.clone();
        let args = DatabaseArgs { database_url, database_password_file: None, database_connections: 10 };
        args.for_service(service.name()).unwrap().open::<M>().await.unwrap()
    }
}

/// Executes one or more statements, separated by semicolons, in a transaction of their own.
pub async fn execute(database: &Database, sql: &str) {
    let transaction = database.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
}
