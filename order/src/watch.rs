//! Those who wait for an order's end, and those who watch every change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service_kit::database::{Neighbours, Topic};
use shared_events::SagaId;
use tokio::sync::{broadcast, oneshot};

use crate::domain::Order;

/// How many changes a slow watcher may lag behind before it misses some.
const CHANGES: usize = 1_024;

/// Told of each change after its commit, also by other replicas.
#[derive(Debug)]
pub(crate) struct Watchers {
    neighbours: Neighbours,
    waiting: Mutex<HashMap<SagaId, Vec<oneshot::Sender<Order>>>>,
    changes: broadcast::Sender<Order>,
}

/// Waits for the end of one order; dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Waiter {
    saga_id: SagaId,
    watchers: Arc<Watchers>,
    ended: oneshot::Receiver<Order>,
}

impl Watchers {
    /// Nobody waits, nobody watches.
    #[must_use]
    pub(crate) fn new(neighbours: Neighbours) -> Arc<Self> {
        Arc::new(Self { neighbours, waiting: Mutex::default(), changes: broadcast::Sender::new(CHANGES) })
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

    /// The engine has changed these orders, durably.
    pub(crate) fn committed(&self, orders: impl Iterator<Item = Order>, changes: Option<Vec<Order>>) {
        let (mut changed, mut ended_elsewhere) = (Vec::new(), Vec::new());
        for order in orders {
            let saga_id = order.saga_id;
            changed.push(saga_id.0);
            if order.status().is_terminal() && !self.ended(order) {
                ended_elsewhere.push(saga_id.0);
            }
        }
        self.changed(changes.unwrap_or_default());
        self.neighbours.tell(Topic::Ended, ended_elsewhere);
        self.neighbours.tell(Topic::Changed, changed);
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

    /// These orders have changed, durably.
    pub(crate) fn changed(&self, orders: Vec<Order>) {
        for order in orders {
            let _ = self.changes.send(order);
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
