use std::{convert::Infallible, time::Duration};

use saga_database::{Database, RelayLock};
use sea_orm::{DbBackend, DbErr};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::outbox::{Outbox, count, ids};

/// How often the table is swept.
const POLL: Duration = Duration::from_secs(2);
/// How often a replica tries to take the relay lock.
const TRY_LOCK: Duration = Duration::from_secs(1);
/// The age of a message that another replica should have published by now. A younger one is most likely being published
/// by the replica that committed it, and would go out twice. (A whole saga takes a fraction of a second under load.)
const LEFT_OVER_AFTER: Duration = Duration::from_secs(5);
/// How many ids are read at once.
const PAGE: usize = 512;

/// Has the messages published that no other replica publishes: those of a replica that has ended, and what was
/// committed without its replica noticing. Only one replica does this at a time, the holder of the relay lock.
pub(super) async fn keep_sweeping(database: &Database, outbox: &Outbox) -> Infallible {
    loop {
        let lock = acquire_lock(database, outbox).await;
        tokio::select! {
            () = lock.lost() => tracing::debug!("the relay lock was lost, because the database does not answer"),
            never = poll(database, outbox) => match never {},
        }
    }
}

async fn acquire_lock(database: &Database, outbox: &Outbox) -> RelayLock {
    let mut tries = interval(TRY_LOCK);
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tries.tick().await;
        match database.acquire_relay_lock().await {
            Ok(Some(lock)) => return lock,
            Ok(None) => count_rows(database, outbox).await,
            Err(error) => tracing::debug!(%error, "the relay lock could not be requested"),
        }
    }
}

async fn poll(database: &Database, outbox: &Outbox) -> Infallible {
    let replica_bus = database.replica_bus();
    let mut polls = interval(POLL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_alone = replica_bus.is_alone();
        tokio::select! {
            _ = polls.tick() => {}
            () = replica_bus.alone(), if !is_alone => {}
        }
        count_rows(database, outbox).await;
        if let Err(error) = sweep(database, outbox).await {
            tracing::warn!(%error, "the outbox cannot be read; trying again soon");
        }
    }
}

async fn sweep(database: &Database, outbox: &Outbox) -> Result<(), DbErr> {
    let mut after = Uuid::nil();
    loop {
        // A relay that is behind would add to what it cannot publish, maybe for the second time.
        outbox.caught_up().await;
        // Without another replica, the younger messages are left over too.
        let is_alone = database.replica_bus().is_alone();
        let before = (!is_alone).then(|| database.clock().now().before(LEFT_OVER_AFTER));
        let page = ids(database, after, before, PAGE as u64).await?;
        let last = page.last().filter(|_| page.len() == PAGE).copied();
        outbox.sweep(page);
        let Some(last) = last else { return Ok(()) };
        after = last.0;
    }
}

/// Counts the messages of all replicas. (On SQLite there is one process, which need not count.)
async fn count_rows(database: &Database, outbox: &Outbox) {
    if database.backend() == DbBackend::Postgres
        && let Ok(depth) = count(database).await
    {
        outbox.counted(depth);
    }
}
