//! How the databases of services come to belong to a system.

use rstest::rstest;
use saga_database::{Database, system_id};
use saga_runtime::{IdentityError, IdentitySettings, establish, establish_all};
use shared_events::{Service, SystemId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase, execute,
};

use crate::{
    engine_harness::open,
    identity::{ONE, OTHER, id, settings},
};

/// Assigns a database to another system, without the service.
pub(crate) async fn belongs_to(database: &Database, system: &str) {
    let id = match database.backend() {
        sea_orm::DbBackend::Sqlite => format!("x'{}'", system.replace('-', "")),
        _ => format!("'{system}'"),
    };
    execute(database, &format!("UPDATE system_identity SET system_id = {id}")).await;
}

#[rstest]
#[tokio::test]
async fn replicas_of_order_that_start_at_once_make_one_id(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let replicas = [open(&storage).await, open(&storage).await];
    let none = settings(None);
    let [first, second] = replicas.each_ref().map(|replica| establish(replica, Service::Order.spec(), &none));
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_some() && first == second, "{first:?} {second:?}");
    assert_eq!(establish(&replicas[1], Service::Order.spec(), &none).await.unwrap(), first, "and keep it");
    for replica in replicas {
        replica.close().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_database_with_data_keeps_its_system(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let database = open(&storage).await;
    assert!(establish(&database, Service::Order.spec(), &settings(None)).await.unwrap().is_some());
    let chosen = async |system| establish(&database, Service::Order.spec(), &settings(Some(id(system)))).await;
    assert_eq!(chosen(ONE).await.unwrap(), Some(id(ONE)), "there is nothing in it");
    execute(&database, "INSERT INTO counts VALUES (1, 1)").await;
    assert_eq!(chosen(ONE).await.unwrap(), Some(id(ONE)), "it is the same");
    let refused = chosen(OTHER).await;
    assert!(matches!(refused, Err(IdentityError::HasData { .. })), "{refused:?}");
    assert_eq!(system_id(&database).await.unwrap(), Some(id(ONE)));
    database.close().await;
}

/// The databases of the three services, as one process opens them.
async fn open_all(storages: &[TestDatabase; 3]) -> [Database; 3] {
    let [order, inventory, payment] = storages;
    [open(order).await, open(inventory).await, open(payment).await]
}

async fn all_of_one(databases: &[Database; 3], settings: &IdentitySettings) -> Result<SystemId, IdentityError> {
    let all: Vec<_> = Service::ALL.map(Service::spec).into_iter().zip(databases).collect();
    establish_all(&all, settings).await
}

#[rstest]
#[tokio::test]
async fn the_databases_of_one_process_belong_to_one_system(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storages = Service::ALL.map(|_| TestDatabase::create(database));
    let databases = open_all(&storages).await;
    let system = all_of_one(&databases, &settings(None)).await.unwrap();
    for database in &databases {
        assert_eq!(system_id(database).await.unwrap(), Some(system));
    }
    belongs_to(&databases[0], OTHER).await;
    let refused = all_of_one(&databases, &settings(None)).await;
    assert!(matches!(refused, Err(IdentityError::NotOneSystem("order", ..))), "{refused:?}");
    assert_eq!(all_of_one(&databases, &settings(Some(system))).await.unwrap(), system, "the empty one takes it");

    execute(&databases[0], "DELETE FROM system_identity").await;
    let refused = all_of_one(&databases, &settings(None)).await;
    assert!(matches!(refused, Err(IdentityError::New { service: "order", .. })), "{refused:?}");
    assert_eq!(system_id(&databases[0]).await.unwrap(), None);
    execute(&databases[0], "INSERT INTO counts VALUES (1, 1)").await;
    assert_eq!(all_of_one(&databases, &settings(None)).await.unwrap(), system, "a backup from before systems had ids");
    for database in &databases[1..] {
        belongs_to(database, OTHER).await;
    }
    execute(&databases[0], "DELETE FROM system_identity").await;
    let refused = all_of_one(&databases, &settings(None)).await;
    assert!(matches!(refused, Err(IdentityError::New { service: "order", .. })), "{refused:?}");
    for database in databases {
        database.close().await;
    }
}
