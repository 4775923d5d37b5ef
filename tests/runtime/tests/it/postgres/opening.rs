//! Opening a database on a server: by several replicas at once; and the errors if it cannot be used.

use saga_database::{Database, DatabaseArgs, DatabaseError, tables::MessageTables};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::counting_participant::Migrator;

/// A program that is older than [`Migrator`]'s.
struct Older;

#[async_trait::async_trait]
impl MigratorTrait for Older {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(MessageTables)]
    }
}

pub(super) async fn open<M: MigratorTrait>(url: &str) -> Result<Database, DatabaseError> {
    let args = DatabaseArgs { database_url: url.to_owned(), database_password_file: None, database_connections: 2 };
    args.for_service("order").unwrap().open::<M>().await
}

#[tokio::test]
async fn replicas_that_start_together_bring_the_tables_up_to_date_once() {
    let url = test_servers::create_database();
    let all = futures::future::join_all((0..8).map(|_| open::<Migrator>(&url))).await;
    for database in all {
        database.unwrap().close().await;
    }
}

#[tokio::test]
async fn the_engine_finds_rows_by_their_keys_also_where_the_server_knows_nothing_of_a_table() {
    let database = open::<Migrator>(&test_servers::create_database()).await.unwrap();
    let transaction = database.begin().await.unwrap();
    let lines = async |sql: &str| -> String {
        let rows = transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap() + "\n").collect()
    };
    for statement in ["DELETE FROM outbox", "SELECT * FROM inbox", "SELECT * FROM counts"] {
        let (key, keys) = if statement.ends_with("counts") {
            ("order_id", "ARRAY[1, 2]::bigint[]")
        } else {
            ("message_id", "ARRAY['01890000-0000-7000-8000-000000000000'::uuid]")
        };
        let plan = lines(&format!("EXPLAIN {statement} WHERE {key} = ANY({keys})")).await;
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{plan}");
    }
    assert_eq!(lines("SHOW plan_cache_mode").await, "force_generic_plan\n");
    transaction.rollback().await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn an_older_program_is_turned_away() {
    let url = test_servers::create_database();
    open::<Migrator>(&url).await.unwrap().close().await;
    let error = open::<Older>(&url).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Newer { .. }) && !error.may_pass(), "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_said_without_the_password() {
    let url = test_servers::create_database();
    let (user, place) = url.rsplit_once('@').unwrap();
    let (server, _) = place.split_once('/').unwrap();
    for (url, words) in [
        (format!("postgres://postgres:not-the-password@{place}"), "password authentication failed for user"),
        (format!("{user}@{server}/no_such_database"), "database \"no_such_database\" does not exist (create it"),
        ("postgres://postgres:not-the-password@127.0.0.1:1/orders".to_owned(), "is the server up"),
    ] {
        let error = open::<Migrator>(&url).await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains(words) && error.may_pass(), "{said}");
        assert!(!said.contains("not-the-password"), "{said}");
    }
}
