//! What other replicas of the order service do, told to those who wait and watch here.

use std::{sync::Arc, time::Duration};

use saga_database::{Database, Topic};
use sea_orm::DbErr;
use shared_events::SagaId;
use tokio::{
    sync::mpsc::Receiver,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use crate::{store, watch::Watchers};

/// How often it is looked by itself whether awaited orders have ended: behind the words of the other replicas, which may get
/// lost.
const LOOK: Duration = Duration::from_secs(1);

/// Tells those who wait and watch here what other replicas have committed.
pub(crate) async fn listen(database: Database, watchers: Arc<Watchers>) {
    let replica_bus = database.replica_bus();
    let (Some(ended), Some(changed)) = (replica_bus.subscribe(Topic::Ended), replica_bus.subscribe(Topic::Changed))
    else {
        return;
    };
    tokio::join!(wake(&database, &watchers, ended), show(&database, &watchers, changed));
}

async fn wake(database: &Database, watchers: &Watchers, mut ended: Receiver<Vec<Uuid>>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let awaited = tokio::select! {
            Some(sagas) = ended.recv() => watchers.awaited_of(&all(sagas, &mut ended)),
            _ = looks.tick() => watchers.awaited(),
        };
        if let Err(error) = wake_those(database, watchers, &awaited).await {
            tracing::debug!(%error, "cannot look for orders that have ended elsewhere");
        }
    }
}

async fn wake_those(database: &Database, watchers: &Watchers, awaited: &[SagaId]) -> Result<(), DbErr> {
    let orders = store::of_sagas(&database.internal_reader(), awaited).await?;
    for order in orders.into_iter().filter(|order| order.status().is_terminal()) {
        watchers.ended(order);
    }
    Ok(())
}

/// An order that changes twice at once may be shown once, as it stands then.
async fn show(database: &Database, watchers: &Watchers, mut changed: Receiver<Vec<Uuid>>) {
    while let Some(sagas) = changed.recv().await {
        let sagas = all(sagas, &mut changed);
        if watchers.somebody_watches() {
            match store::of_sagas(&database.internal_reader(), &sagas).await {
                Ok(orders) => watchers.changed(orders),
                Err(error) => tracing::warn!(%error, "cannot show what other replicas have changed"),
            }
        }
    }
}

/// These, and all that have come in since.
fn all(mut sagas: Vec<Uuid>, more: &mut Receiver<Vec<Uuid>>) -> Vec<SagaId> {
    while let Ok(mut next) = more.try_recv() {
        sagas.append(&mut next);
    }
    sagas.sort_unstable();
    sagas.dedup();
    sagas.into_iter().map(SagaId).collect()
}
