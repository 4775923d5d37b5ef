//! Databases of earlier releases, and replicas of them that still run.

use order::{Migrator, store};
use rstest::rstest;
use saga_database::Database;
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared_events::{OrderId, Service};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

/// The migrations of the release before orders had owners.
struct BeforeOwners;

impl MigratorTrait for BeforeOwners {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Migrator::migrations().into_iter().take_while(|migration| migration.name() != "m0006_owners").collect()
    }
}

/// Inserts an order as that release does.
async fn insert(database: &Database, id: i64, key: &str) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    let saga = match transaction.get_database_backend() {
        DbBackend::Sqlite => "randomblob(16)",
        _ => "gen_random_uuid()",
    };
    let insert = format!(
        "INSERT INTO orders (order_id, saga_id, lines, minor_units, currency, idempotency_key, placed_at, changed_at,
             stock, payment, status, repeats, version)
         VALUES ({id}, {saga}, '[{{\"item_sku\":\"A\",\"quantity\":1}}]', 100, 'USD', '{key}', 1, 1, 'UNKNOWN',
             'UNKNOWN', 'PENDING', 0, 1)"
    );
    transaction.execute_unprepared(&insert).await?;
    transaction.commit().await
}

#[rstest]
#[tokio::test]
async fn an_order_of_the_previous_release_belongs_to_nobody(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let before = storage.open::<BeforeOwners>(Service::Order).await;
    insert(&before, 1, "one").await.unwrap();
    before.close().await;
    let after = storage.open::<Migrator>(Service::Order).await;
    // A replica of the previous release goes on inserting, and its keys stay unique.
    insert(&after, 2, "two").await.unwrap();
    assert!(insert(&after, 3, "one").await.is_err());
    for (id, key) in [(1, "one"), (2, "two")] {
        let found = store::by_id(&after.reader(), OrderId(id), None).await.unwrap().unwrap();
        assert_eq!((found.owner.as_str(), found.idempotency_key.unwrap().as_str()), ("", key));
        for owner in ["a", ""] {
            let visible = store::has_owner(&after.reader(), OrderId(id), owner).await.unwrap();
            assert_eq!(visible, owner.is_empty());
        }
        assert!(store::by_id(&after.reader(), OrderId(id), Some("a")).await.unwrap().is_none());
    }
    after.close().await;
}
