//! Those who wait for an order's end, and those who watch every change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared_events::SagaId;
use tokio::sync::{broadcast, oneshot};

use crate::domain::Order;

/// How many changes a slow watcher may lag behind before it misses some.
const CHANGES: usize = 1_024;

/// Told of each change after its commit.
#[derive(Debug)]
pub(crate) struct Watchers {
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
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), changes: broadcast::Sender::new(CHANGES) })
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

    /// An order has ended, durably.
    pub(crate) fn ended(&self, order: Order) {
        let waiting = self.lock().remove(&order.saga_id).unwrap_or_default();
        for told in waiting {
            // Who no longer waits need not be told.
            let _ = told.send(order.clone());
        }
    }

    /// These orders have changed, durably.
    pub(crate) fn changed(&self, orders: Vec<Order>) {
        for order in orders {
            let _ = self.changes.send(order);
        }
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
