//! A primary and a standby: which of them is used, at the start and after a failover.

use std::time::Duration;

use saga_database::{Database, DatabaseArgs, DatabaseError};
use sea_orm::{ConnectionTrait as _, DbErr};
use test_servers::{Postgres, postgres::Options};
use tokio::task::block_in_place;

use super::opening::open;
use crate::{
    counting_participant::Migrator,
    wait::{stays_pending, until, within_timeout},
};

const NAME: &str = "orders";
const INSERT: &str = "INSERT INTO dead_letters (message_id, body, reason, attempts, parked_at) \
                      VALUES (gen_random_uuid(), '', '', 1, 0)";

/// A primary with an empty database, and its standby.
fn servers() -> (Postgres, Postgres) {
    block_in_place(|| {
        let primary = Postgres::start(Options::default()).unwrap();
        primary.create_database(NAME).unwrap();
        let standby = primary.standby().unwrap();
        (primary, standby)
    })
}

/// Returns the address of the database with these ports, in this order.
fn url(of: &Postgres, ports: &[u16]) -> String {
    let list: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = of.url(NAME).replace(&format!("127.0.0.1:{}", of.port()), &list.join(","));
    format!("{url}?target_session_attrs=read-write")
}

async fn open_for_reading(url: String) -> Result<Database, DatabaseError> {
    let args = DatabaseArgs { database_url: url, database_password_file: None, database_connections: 2 };
    args.for_service("order").unwrap().open_for_reading().await
}

async fn write(database: &Database) -> Result<(), DbErr> {
    let work = async { database.writer().execute_unprepared(INSERT).await.map(drop) };
    database.with_timeout(Duration::from_secs(20), work).await
}

fn rows(server: &Postgres) -> usize {
    let count = block_in_place(|| server.psql(NAME, "SELECT count(*) FROM dead_letters")).unwrap();
    count.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_and_what_cannot_be_used_is_named() {
    let (primary, standby) = servers();
    let (one, two) = (primary.port(), standby.port());
    let database = open::<Migrator>(&url(&primary, &[1, two, one])).await.unwrap();
    write(&database).await.unwrap();
    database.close().await;

    let refused = async |ports: &[u16]| open::<Migrator>(&url(&primary, ports)).await.unwrap_err();
    let password = primary.url("").split(['@', ':']).nth(2).unwrap().to_owned();
    let error = refused(&[1, two]).await;
    let text = format!("{error} {error:?}");
    for part in ["127.0.0.1:1: ", "refused", &format!("127.0.0.1:{two}: a standby, in recovery"), "start or promote"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(error.may_pass() && !text.contains(&password), "{text}");
    let alone = refused(&[two]).await.to_string();
    assert!(alone.contains("a standby, in recovery (promote it"), "{alone}");

    // A standby is good enough for the audit.
    open_for_reading(url(&primary, &[1, two])).await.unwrap().close().await;

    block_in_place(|| primary.psql("postgres", "ALTER ROLE postgres SET default_transaction_read_only = on")).unwrap();
    let error = refused(&[one]).await.to_string();
    assert!(error.contains("read-only (see default_transaction_read_only"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_used_and_the_old_primary_never_again() {
    let (mut old, mut new) = servers();
    let database = open::<Migrator>(&url(&old, &[old.port(), new.port()])).await.unwrap();
    block_in_place(|| old.wait_for_standby(true)).unwrap();
    let lock = within_timeout("the lock", database.acquire_relay_lock()).await.unwrap().unwrap();
    write(&database).await.unwrap();

    block_in_place(|| old.kill().and_then(|()| new.promote())).unwrap();
    until("the new primary is written", async || write(&database).await.is_ok()).await;
    within_timeout("the lock was lost with its server", lock.lost()).await;
    within_timeout("the lock", database.acquire_relay_lock()).await.unwrap().expect("nobody has it here");
    assert_eq!(rows(&new), 2);

    // The old one is back as if nothing had happened, writes, and is even the only one for a while.
    block_in_place(|| old.restart().and_then(|()| old.wait_for_standby(false))).unwrap();
    write(&database).await.unwrap();
    block_in_place(|| new.crash()).unwrap();
    write(&database).await.unwrap_err();
    assert_eq!(rows(&old), 1);
    block_in_place(|| new.restart()).unwrap();
    until("the new primary is written again", async || write(&database).await.is_ok()).await;
    database.close().await;
    // A program that starts meanwhile finds the right one, too.
    let another = open::<Migrator>(&url(&old, &[old.port(), new.port()])).await.unwrap();
    write(&another).await.unwrap();
    assert_eq!((rows(&old), rows(&new)), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_by_mistake_is_followed_although_the_old_primary_runs() {
    let (old, new) = servers();
    let database = open::<Migrator>(&url(&old, &[old.port(), new.port()])).await.unwrap();
    block_in_place(|| old.wait_for_standby(true)).unwrap();
    write(&database).await.unwrap();
    block_in_place(|| new.promote()).unwrap();
    until("the new primary is written", async || write(&database).await.is_ok() && rows(&new) > 1).await;
    write(&database).await.unwrap();
    // What was begun there waits for the standby that it has lost.
    assert_eq!(rows(&old), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_the_standby_is_not_given_up() {
    let (primary, mut standby) = servers();
    let database = open::<Migrator>(&url(&primary, &[primary.port(), standby.port()])).await.unwrap();
    block_in_place(|| primary.wait_for_standby(true)).unwrap();
    block_in_place(|| standby.crash()).unwrap();
    let first = tokio::spawn({
        let database = database.clone();
        async move { write(&database).await }
    });
    let mut commits_wait = database.commits_wait();
    within_timeout("it is noticed", commits_wait.wait_for(|wait| *wait)).await.unwrap();
    // The limit is far shorter than the wait.
    let work = async { database.writer().execute_unprepared(INSERT).await.map(drop) };
    let mut second = Box::pin(database.with_timeout(Duration::from_millis(10), work));
    stays_pending("the commit waits", &mut second).await;
    assert!(!first.is_finished());
    block_in_place(|| standby.restart()).unwrap();
    within_timeout("the second", second).await.unwrap();
    within_timeout("the first", first).await.unwrap().unwrap();
    within_timeout("it is over", commits_wait.wait_for(|wait| !*wait)).await.unwrap();
    assert_eq!(rows(&primary), 2);
}
