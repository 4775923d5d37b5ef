//! A database of an earlier version comes up and goes on.

use payment::{Migrator, domain::PaymentId, store};
use rstest::rstest;
use saga_database::Database;
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared_events::{EventBody, Service};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase, until,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

/// Earlier versions knew no due times, and voided by the state.
#[rstest]
#[tokio::test]
async fn what_an_earlier_version_was_voiding_is_voided(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let orders = [Order::of(1, "20"), Order::of(2, "20")];
    for order in &orders {
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    }
    let writer = harness.service.another_writer().await;
    let transaction = writer.begin().await.unwrap();
    let sql = "UPDATE payments SET state = 'VOIDING', due_at = NULL, lines = NULL WHERE order_id = 1";
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
    writer.close().await;
    until("it is voided", async || harness.states().await[0] == "VOIDED").await;
    assert_eq!((harness.gateway.holds(orders[0].saga_id), harness.gateway.count(Point::BeforeVoid)), (0, 1));
    // It is not known for which lines, so nothing is published; order repeats its cancellation.
    harness.publish(&orders[0].cancel()).await;
    assert_eq!(harness.receive().await, orders[0].event(EventBody::PaymentVoided));
    // The other one is authorized as before.
    harness.publish(&orders[1].cancel()).await;
    assert_eq!(harness.receive().await, orders[1].event(EventBody::PaymentVoided));
    harness.finish().await;
}

/// The migrations of the release before idempotency keys had owners.
struct BeforeOwners;

impl MigratorTrait for BeforeOwners {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations().into_iter().take_while(|migration| migration.name() != "m0006_owned_keys").collect()
    }
}

/// Inserts a client's payment as that release does.
async fn insert(database: &Database, id: i64, key: &str) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    let insert = format!(
        "INSERT INTO payments (payment_id, order_id, minor_units, currency, state, created_at, changed_at,
             idempotency_key)
         VALUES ({id}, 1, 100, 'USD', 'AUTHORIZED', 1, 1, '{key}')"
    );
    transaction.execute_unprepared(&insert).await?;
    transaction.commit().await
}

#[rstest]
#[tokio::test]
async fn an_idempotency_key_of_the_previous_release_belongs_to_nobody(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let storage = TestDatabase::create(database);
    let before = storage.open::<BeforeOwners>(Service::Payment).await;
    insert(&before, 1, "one").await.unwrap();
    before.close().await;
    let after = storage.open::<Migrator>(Service::Payment).await;
    // A replica of the previous release goes on inserting, and its keys stay unique.
    insert(&after, 2, "two").await.unwrap();
    assert!(insert(&after, 3, "one").await.is_err());
    for (id, key) in [(1, "one"), (2, "two")] {
        let found = store::by_id(&after.reader(), PaymentId(id)).await.unwrap().unwrap();
        let owned = found.idempotency_key().unwrap();
        assert_eq!((owned.owner.as_str(), owned.key.as_str()), ("", key));
    }
    after.close().await;
}
