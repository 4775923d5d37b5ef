//! How long the inbox keeps a message.

use rstest::rstest;
use saga_database::{Writes, tables::inbox, trim_inbox};
use sea_orm::EntityTrait;
use shared_events::Timestamp;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::{NoContext, Uuid};

use crate::engine_harness::open;

#[rstest]
#[tokio::test]
async fn the_inbox_forgets_what_is_old_and_nothing_else(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let database = open(&storage).await;
    let second = |second: u64| {
        let moment = uuid::Timestamp::from_unix(NoContext, second, 0);
        inbox::Model { message_id: Uuid::new_v7(moment), received_at: i64::try_from(second).unwrap() * 1_000_000 }
    };
    // The last one is an old message that arrived late.
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

#[rstest]
#[tokio::test]
async fn the_inbox_goes_by_when_it_received_a_message_and_not_by_the_clock_of_its_sender(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let storage = TestDatabase::create(database);
    let database = open(&storage).await;
    let now = database.clock().now().unix_micros() / 1_000_000;
    let (second, day) = (|second: i64| u64::try_from(second).unwrap(), 24 * 3_600);
    // The time by the sender's clock, the time of arrival, and whether the inbox still has it on the next day.
    let messages = [
        (now - 3_650 * day, now, true),
        (now - 10 * day, now - day / 2, true),
        (now - 10 * day, now - 2 * day, false),
        (now - 2 * day + 600, now - 2 * day, false),
        (now + 10 * day, now, true),
        (now + 3_650 * day, now - 2 * day, false),
        // The sender's clock was an hour and a half ahead, so the message is kept for that much longer.
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
