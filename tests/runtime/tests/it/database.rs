//! Opening a database, and what is said where it cannot be used.

use std::{error::Error, fs};

use saga_database::{
    Database, DatabaseError, Writes,
    tables::{MessageTables, inbox},
    trim_inbox,
};
use sea_orm::{ConnectionTrait, EntityTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared_events::Timestamp;
use tempfile::tempdir;
use uuid::{NoContext, Uuid};

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

#[tokio::test]
async fn the_inbox_forgets_what_is_old_and_nothing_else() {
    let directory = tempdir().unwrap();
    let database = Database::open_sqlite::<Migrator>(&directory.path().join("inbox.db")).await.unwrap();
    let second = |second: u64| {
        let moment = uuid::Timestamp::from_unix(NoContext, second, 0);
        inbox::Model { message_id: Uuid::new_v7(moment), received_at: i64::try_from(second).unwrap() * 1_000_000 }
    };
    // The last is a message of long ago that came late.
    let late = inbox::Model { received_at: 900_000_000, ..second(10) };
    let transaction = database.begin().await.unwrap();
    Writes::default()
        .insert::<inbox::Entity>(&[second(10), second(20), second(900), late.clone()])
        .run(&transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let before = Timestamp::from_unix_micros(500_000_000);
    assert_eq!(trim_inbox(&database, before).await.unwrap(), 2);
    assert_eq!(trim_inbox(&database, before).await.unwrap(), 0);
    let left = inbox::Entity::find().all(&database.reader()).await.unwrap();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&late));
}

#[tokio::test]
async fn the_inbox_goes_by_when_it_received_a_message_and_not_by_the_clock_of_its_sender() {
    let directory = tempdir().unwrap();
    let database = Database::open_sqlite::<Migrator>(&directory.path().join("inbox.db")).await.unwrap();
    let now = database.clock().now().unix_micros() / 1_000_000;
    let (second, day) = (|second: i64| u64::try_from(second).unwrap(), 24 * 3_600);
    // What the sender's clock said, when it came, and whether it is remembered on the next day.
    let messages = [
        (now - 3_650 * day, now, true),
        (now - 10 * day, now - day / 2, true),
        (now - 10 * day, now - 2 * day, false),
        (now - 2 * day + 600, now - 2 * day, false),
        (now + 10 * day, now, true),
        (now + 3_650 * day, now - 2 * day, false),
        // Its sender was an hour and a half ahead: it is remembered for so much longer.
        (now - day + 1_800, now - day - 3_600, true),
    ];
    let rows = messages.map(|(id, received, _)| inbox::Model {
        message_id: Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, second(id), 0)),
        received_at: received * 1_000_000,
    });
    let transaction = database.begin().await.unwrap();
    Writes::default().insert::<inbox::Entity>(&rows).run(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    trim_inbox(&database, Timestamp::from_unix_micros((now - day) * 1_000_000)).await.unwrap();
    let left = inbox::Entity::find().all(&database.reader()).await.unwrap();
    for (row, (id, received, stays)) in rows.iter().zip(messages) {
        assert_eq!(left.contains(row), stays, "id of {} s, received at {} s", id - now, received - now);
    }
}
