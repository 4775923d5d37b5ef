//! Rows in bulk, with every number of rows that is divided into chunks in a different way.

use rstest::rstest;
use saga_database::{
    Database, Writes, find_by, find_locked, insert_new,
    tables::{
        dead_letter::{Column, Entity, Model},
        inbox,
    },
};
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use crate::engine_harness::open;

const NUMBERS: [usize; 5] = [0, 1, 7, 64, 200];

/// A new database with the tables of the participant.
async fn create(kind: DatabaseKind) -> (TestDatabase, Database) {
    let storage = TestDatabase::create(kind);
    let database = open(&storage).await;
    (storage, database)
}

/// Rows with every type of column, and with NULL in the nullable columns.
fn rows(count: usize) -> Vec<Model> {
    let row = |number: usize| {
        let whole = i64::try_from(number).unwrap();
        Model {
            message_id: Uuid::from_u128(number as u128 * 7 + 1),
            reason: format!("it's \"{number}\" ?1 $1 \u{fffd} é"),
            attempts: whole,
            event: number.is_multiple_of(2).then(|| "OrderCreated".to_owned()),
            subject: number.is_multiple_of(3).then(|| whole.to_string()),
            body: vec![0, 255, u8::try_from(number % 256).unwrap()],
            dead_lettered_at: i64::MAX - whole,
        }
    };
    (0..count).map(row).collect()
}

async fn all(connection: &impl ConnectionTrait) -> Vec<Model> {
    sorted(Entity::find().all(connection).await.unwrap())
}

fn sorted(mut rows: Vec<Model>) -> Vec<Model> {
    rows.sort_by_key(|row| row.message_id);
    rows
}

fn keys(rows: &[Model]) -> Vec<sea_orm::Value> {
    rows.iter().map(|row| row.message_id.into()).collect()
}

#[rstest]
#[tokio::test]
async fn rows_are_inserted_found_and_deleted(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (_storage, database) = create(database).await;
    for count in NUMBERS {
        let (rows, transaction) = (rows(count), database.begin().await.unwrap());
        Writes::default().insert::<Entity>(&rows).run(&transaction).await.unwrap();
        assert_eq!(all(&transaction).await, rows, "{count}");
        let found = find_by::<Entity, _>(&transaction, Column::MessageId, keys(&rows)).await.unwrap();
        assert_eq!(sorted(found), rows, "{count}");
        let mut some = keys(&rows[count / 2..]);
        some.push(Uuid::from_u128(u128::MAX).into());
        let found = find_locked::<Entity, _>(&transaction, Column::MessageId, some.clone()).await.unwrap();
        assert_eq!(sorted(found), rows[count / 2..], "{count}");
        let deleted = Writes::default().delete::<Entity>(Column::MessageId, some).run(&transaction).await.unwrap();
        assert_eq!((deleted as usize, all(&transaction).await.len()), (count - count / 2, count / 2));
        assert_eq!(Writes::default().delete::<Entity>(Column::Reason, vec![]).run(&transaction).await.unwrap(), 0);
        transaction.rollback().await.unwrap();
    }
    assert_eq!(Entity::find().count(&database.reader()).await.unwrap(), 0);
}

#[rstest]
#[tokio::test]
async fn by_other_columns_too(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (_storage, database) = create(database).await;
    let (rows, transaction) = (rows(200), database.begin().await.unwrap());
    Writes::default().insert::<Entity>(&rows).run(&transaction).await.unwrap();
    let attempts = vec![3_i64.into(), 7_i64.into()];
    let found = find_by::<Entity, _>(&transaction, Column::Attempts, attempts).await.unwrap();
    assert_eq!(sorted(found), [rows[3].clone(), rows[7].clone()]);
    let event = vec!["OrderCreated".into()];
    assert_eq!(Writes::default().delete::<Entity>(Column::Event, event).run(&transaction).await.unwrap(), 100);
}

#[rstest]
#[tokio::test]
async fn only_what_is_not_there_is_inserted(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (_storage, database) = create(database).await;
    for count in NUMBERS {
        let (rows, transaction) = (rows(count), database.begin().await.unwrap());
        let (old, new) = rows.split_at(count / 3);
        let changed: Vec<Model> = old.iter().map(|row| Model { attempts: -1, ..row.clone() }).collect();
        Writes::default().insert_missing::<Entity>(&changed).run(&transaction).await.unwrap();
        assert_eq!(all(&transaction).await, changed);
        // One of them twice, like a message that is delivered twice.
        let twice: Vec<Model> = rows.iter().chain(rows.last()).cloned().collect();
        let mut inserted: Vec<Uuid> = insert_new::<Entity, _, _>(&transaction, &twice).await.unwrap();
        inserted.sort();
        assert_eq!(inserted, new.iter().map(|row| row.message_id).collect::<Vec<_>>(), "{count}");
        Writes::default().insert_missing::<Entity>(&rows).run(&transaction).await.unwrap();
        assert_eq!(all(&transaction).await, [&changed, new].concat(), "{count}: what was there stays as it was");
        let clash = Writes::default().insert::<Entity>(&rows).run(&transaction).await;
        assert_eq!(clash.is_err(), count > 0, "{count}");
        transaction.rollback().await.unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn what_is_there_is_overwritten(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (_storage, database) = create(database).await;
    for count in NUMBERS {
        let (rows, transaction) = (rows(count), database.begin().await.unwrap());
        Writes::default().upsert::<Entity>(&rows[count / 2..]).run(&transaction).await.unwrap();
        let changed: Vec<Model> = rows
            .iter()
            .map(|row| Model { attempts: -1, event: None, subject: Some("5".to_owned()), body: vec![], ..row.clone() })
            .collect();
        Writes::default().upsert::<Entity>(&changed).run(&transaction).await.unwrap();
        assert_eq!(all(&transaction).await, changed, "{count}");
        transaction.rollback().await.unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn several_writes_are_written_together(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (_storage, database) = create(database).await;
    for count in NUMBERS {
        let (rows, transaction) = (rows(count), database.begin().await.unwrap());
        let (old, new) = rows.split_at(count / 2);
        let handled: Vec<inbox::Model> =
            rows.iter().map(|row| inbox::Model { message_id: row.message_id, received_at: row.attempts }).collect();
        Writes::default().insert::<Entity>(old).run(&transaction).await.unwrap();
        let mut writes = Writes::default();
        writes.insert::<Entity>(new).upsert::<inbox::Entity>(&handled).delete::<Entity>(Column::MessageId, keys(old));
        assert_eq!(writes.run(&transaction).await.unwrap(), old.len() as u64, "{count}");
        assert_eq!(all(&transaction).await, new, "{count}");
        assert_eq!(inbox::Entity::find().count(&transaction).await.unwrap(), handled.len() as u64, "{count}");
        assert_eq!(writes.run(&transaction).await.unwrap(), 0, "nothing is written twice");
        // If one fails, all fail.
        let mut clash = Writes::default();
        clash.delete::<Entity>(Column::MessageId, keys(new)).insert::<inbox::Entity>(&handled);
        assert_eq!(clash.run(&transaction).await.is_err(), count > 0, "{count}");
        transaction.rollback().await.unwrap();
    }
}
