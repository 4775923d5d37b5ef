//! Opening a database file, and the errors if it cannot be used.

use std::{error::Error, fs};

use saga_database::{Database, DatabaseError, tables::MessageTables};
use sea_orm::ConnectionTrait;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tempfile::tempdir;

use crate::counting_participant::Migrator;

/// A program that is older than [`Migrator`]'s.
struct Older;

#[async_trait::async_trait]
impl MigratorTrait for Older {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(MessageTables)]
    }
}

#[tokio::test]
async fn a_database_is_made_brought_up_to_date_and_opened_again() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("new.db");
    Database::open_sqlite::<Older>(&path).await.unwrap().close().await;
    Database::open_sqlite::<Migrator>(&path).await.unwrap().close().await;
    let database = Database::open_sqlite::<Migrator>(&path).await.unwrap();
    let reader = database.reader();
    let counts = reader
        .query_all_raw(sea_orm::Statement::from_string(database.backend(), "SELECT order_id FROM counts".to_owned()));
    assert_eq!(counts.await.unwrap().len(), 0);
    database.close().await;
    assert!(!directory.path().join("new.db-wal").exists(), "the log is folded in");
}

#[tokio::test]
async fn an_older_program_leaves_a_newer_database_alone() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("newer.db");
    Database::open_sqlite::<Migrator>(&path).await.unwrap().close().await;
    let error = Database::open_sqlite::<Older>(&path).await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Newer { migration, .. } if migration == "m0002_counts"), "{error:?}");
    assert!(error.to_string().contains("newer.db") && error.to_string().contains("newer version"), "{error}");
    Database::open_sqlite::<Migrator>(&path).await.unwrap().close().await;
}

#[tokio::test]
async fn what_is_no_database_is_named_and_left_alone() {
    let directory = tempdir().unwrap();
    let text = directory.path().join("letter.txt");
    let content = "Dear Sir or Madam, ".repeat(500);
    fs::write(&text, &content).unwrap();
    let nowhere = directory.path().join("no/such/directory/orders.db");
    for (path, cause) in [
        (&text, "file is not a database"),
        (&nowhere, "unable to open"),
        (&directory.path().to_owned(), "unable to open"),
    ] {
        let error = Database::open_sqlite::<Migrator>(path).await.unwrap_err();
        let source = error.source().expect("the driver's words").to_string();
        assert!(matches!(&error, DatabaseError::Open { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot open the database {}", path.display()));
        assert!(source.contains(cause), "{source}");
    }
    assert_eq!(fs::read_to_string(&text).unwrap(), content);
}
