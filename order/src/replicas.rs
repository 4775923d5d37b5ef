//! Passes what other replicas of the order service have changed on to the clients that wait or watch at this replica.

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

/// How often the awaited orders are read even without a notice, because notices of other replicas can be lost.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Listens to the other replicas, and passes their changes on to `watchers`.
pub(crate) async fn listen(database: Database, watchers: Arc<Watchers>) {
    let replica_bus = database.replica_bus();
    let (Some(ended), Some(changed)) = (replica_bus.subscribe(Topic::Ended), replica_bus.subscribe(Topic::Changed))
    else {
        return;
    };
    tokio::join!(watch_ended(&database, &watchers, ended), watch_changed(&database, &watchers, changed));
}

async fn watch_ended(database: &Database, watchers: &Watchers, mut ended: Receiver<Vec<Uuid>>) {
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let awaited = tokio::select! {
            Some(sagas) = ended.recv() => watchers.awaited_of(&drain(sagas, &mut ended)),
            _ = checks.tick() => watchers.awaited(),
        };
        if let Err(error) = pass_on_ended(database, watchers, &awaited).await {
            tracing::debug!(%error, "cannot check whether orders have ended at other replicas");
        }
    }
}

async fn pass_on_ended(database: &Database, watchers: &Watchers, awaited: &[SagaId]) -> Result<(), DbErr> {
    let orders = store::of_sagas(&database.internal_reader(), awaited).await?;
    for order in orders.into_iter().filter(|order| order.status().is_terminal()) {
        watchers.ended(order);
    }
    Ok(())
}

/// Passes on changed orders in their current state, so two quick changes of an order may be passed on as one.
async fn watch_changed(database: &Database, watchers: &Watchers, mut changed: Receiver<Vec<Uuid>>) {
    while let Some(sagas) = changed.recv().await {
        let sagas = drain(sagas, &mut changed);
        if watchers.has_watchers() {
            match store::of_sagas(&database.internal_reader(), &sagas).await {
                Ok(orders) => watchers.changed(orders),
                Err(error) => tracing::warn!(%error, "cannot read the orders that other replicas have changed"),
            }
        }
    }
}

/// Returns these sagas and all others that have been received so far, without duplicates.
fn drain(mut sagas: Vec<Uuid>, more: &mut Receiver<Vec<Uuid>>) -> Vec<SagaId> {
    while let Ok(mut next) = more.try_recv() {
        sagas.append(&mut next);
    }
    sagas.sort_unstable();
    sagas.dedup();
    sagas.into_iter().map(SagaId).collect()
}
