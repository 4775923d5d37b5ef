//! Those who wait for an order's end, and those who watch every change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use saga_database::{ReplicaBus, Topic};
use shared_events::SagaId;
use tokio::sync::{broadcast, oneshot};

use self::told::Told;
use crate::domain::Order;

mod told;

/// How many changes a slow watcher may lag behind before it misses some.
const CHANGES: usize = 1_024;

/// Told of each change after its commit, also by other replicas.
#[derive(Debug)]
pub(crate) struct Watchers {
    replica_bus: ReplicaBus,
    waiting: Mutex<HashMap<SagaId, Vec<oneshot::Sender<Order>>>>,
    changes: broadcast::Sender<Order>,
    told: Mutex<Told>,
}

/// Waits for the end of one order; dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Waiter {
    saga_id: SagaId,
    watchers: Arc<Watchers>,
    ended: oneshot::Receiver<Order>,
}

impl Watchers {
    #[must_use]
    pub(crate) fn new(replica_bus: ReplicaBus) -> Arc<Self> {
        let changes = broadcast::Sender::new(CHANGES);
        Arc::new(Self { replica_bus, waiting: Mutex::default(), changes, told: Mutex::default() })
    }

    /// Begins to wait for an order's end. Begun before the order is placed, it cannot miss it.
    #[must_use]
    pub(crate) fn wait_for(self: &Arc<Self>, saga_id: SagaId) -> Waiter {
        let (told, ended) = oneshot::channel();
        self.lock().entry(saga_id).or_default().push(told);
        Waiter { saga_id, watchers: Arc::clone(self), ended }
    }

    /// Every change from now on.
    #[must_use]
    pub(crate) fn watch(&self) -> broadcast::Receiver<Order> {
        self.changes.subscribe()
    }

    /// Whether changes are worth collecting.
    #[must_use]
    pub(crate) fn somebody_watches(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    /// The engine has changed these orders, durably. `changes` are all their steps, where these were collected. Who
    /// came to watch later than that is told where the orders stand now.
    pub(crate) fn committed(&self, orders: impl Iterator<Item = Order>, changes: Option<Vec<Order>>) {
        let (mut changed, mut ended_elsewhere) = (Vec::new(), Vec::new());
        let mut as_they_stand = (changes.is_none() && self.somebody_watches()).then(Vec::new);
        for order in orders {
            let saga_id = order.saga_id;
            changed.push(saga_id.0);
            as_they_stand.iter_mut().for_each(|orders| orders.push(order.clone()));
            if order.status().is_terminal() && !self.ended(order) {
                ended_elsewhere.push(saga_id.0);
            }
        }
        self.changed(changes.or(as_they_stand).unwrap_or_default());
        self.replica_bus.notify(Topic::Ended, ended_elsewhere);
        self.replica_bus.notify(Topic::Changed, changed);
    }

    /// An order has ended, durably. Returns whether somebody here waited for it.
    pub(crate) fn ended(&self, order: Order) -> bool {
        let waiting = self.lock().remove(&order.saga_id).unwrap_or_default();
        // Who no longer waits need not be told.
        let mut waited = false;
        for told in waiting {
            waited |= told.send(order.clone()).is_ok();
        }
        waited
    }

    /// These orders have changed, durably, here or at another replica. They may come in any order: what is older than
    /// what was told of an order already is not told any more.
    pub(crate) fn changed(&self, orders: Vec<Order>) {
        // Held until all are told, so that two who tell at the same time do not overtake each other in between.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.somebody_watches() {
            return told.forget();
        }
        for order in orders {
            if told.is_new(&order) {
                let _ = self.changes.send(order);
            }
        }
    }

    /// Those of `sagas` that somebody waits for.
    pub(crate) fn awaited_of(&self, sagas: &[SagaId]) -> Vec<SagaId> {
        let waiting = self.lock();
        sagas.iter().copied().filter(|saga| waiting.contains_key(saga)).collect()
    }

    /// All sagas that somebody waits for.
    pub(crate) fn awaited(&self) -> Vec<SagaId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SagaId, Vec<oneshot::Sender<Order>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The order, once it has ended.
    pub(crate) async fn ended(&mut self) -> Option<Order> {
        (&mut self.ended).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.ended.close();
        let mut waiting = self.watchers.lock();
        if let Some(others) = waiting.get_mut(&self.saga_id) {
            others.retain(|told| !told.is_closed());
            if others.is_empty() {
                waiting.remove(&self.saga_id);
            }
        }
    }
}
