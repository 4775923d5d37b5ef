//! Clients that wait for an order's end, and clients that watch every change.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use saga_database::{ReplicaBus, Topic};
use service_http::access::Owner;
use shared_events::SagaId;
use tokio::sync::oneshot;

use self::changes::{Changes, Subscription};
pub(crate) use self::{changes::Change, position::Position};
use crate::domain::Order;

mod changes;
mod position;
mod sent_states;
#[cfg(test)]
mod testing;

/// Passes changes of orders on to the clients that wait or watch at this replica. It gets each change after its commit,
/// from this replica and from others.
#[derive(Debug)]
pub(crate) struct Watchers {
    replica_bus: ReplicaBus,
    waiting: Mutex<HashMap<SagaId, Vec<oneshot::Sender<Order>>>>,
    changes: Arc<Changes>,
}

/// Waits for the end of one order, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    saga_id: SagaId,
    watchers: Arc<Watchers>,
    ended: oneshot::Receiver<Order>,
}

impl Watchers {
    /// Keeps at most `history` changes for clients that are slow or come back.
    #[must_use]
    pub(crate) fn new(replica_bus: ReplicaBus, history: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self { replica_bus, waiting: Mutex::default(), changes: Changes::new(history) })
    }

    /// Starts to wait for an order's end. If this is called before the order is placed, the end cannot be missed.
    #[must_use]
    pub(crate) fn wait_for(self: &Arc<Self>, saga_id: SagaId) -> Waiter {
        let (sender, ended) = oneshot::channel();
        self.lock().entry(saga_id).or_default().push(sender);
        Waiter { saga_id, watchers: Arc::clone(self), ended }
    }

    /// Subscribes to all changes of the orders of `owner`, or of all orders, after this position, or from now on.
    #[must_use]
    pub(crate) fn watch(&self, after: Option<Position>, owner: Option<Owner>) -> Subscription {
        self.changes.subscribe(after, owner, Instant::now())
    }

    /// Returns whether there are watchers, or were shortly before. Otherwise changes need not be collected.
    #[must_use]
    pub(crate) fn has_watchers(&self) -> bool {
        self.changes.are_kept(Instant::now())
    }

    /// Passes on the orders that a batch has changed and committed. `changes` is every single change. If it is `None`
    /// because there were no watchers when the batch began, those that came since get the current state of the orders.
    pub(crate) fn committed(&self, orders: impl Iterator<Item = Order>, changes: Option<Vec<Order>>) {
        let (mut changed, mut ended_elsewhere) = (Vec::new(), Vec::new());
        let mut current = (changes.is_none() && self.has_watchers()).then(Vec::new);
        for order in orders {
            let saga_id = order.saga_id;
            changed.push(saga_id.0);
            current.iter_mut().for_each(|orders| orders.push(order.clone()));
            if order.status().is_terminal() && !self.ended(order) {
                ended_elsewhere.push(saga_id.0);
            }
        }
        self.changed(changes.or(current).unwrap_or_default());
        self.replica_bus.notify(Topic::Ended, ended_elsewhere);
        self.replica_bus.notify(Topic::Changed, changed);
    }

    /// Passes on that an order has ended and is committed. Returns whether a client of this replica waited for it.
    pub(crate) fn ended(&self, order: Order) -> bool {
        let waiting = self.lock().remove(&order.saga_id).unwrap_or_default();
        // Sending fails only if the client no longer waits.
        let mut waited = false;
        for sender in waiting {
            waited |= sender.send(order.clone()).is_ok();
        }
        waited
    }

    /// Passes on committed changes of orders, made here or at another replica. They may come in any order: a state that
    /// is older than what was sent before is dropped.
    pub(crate) fn changed(&self, orders: Vec<Order>) {
        self.changes.publish(orders, Instant::now());
    }

    /// Returns those of `sagas` that a client waits for.
    pub(crate) fn awaited_of(&self, sagas: &[SagaId]) -> Vec<SagaId> {
        let waiting = self.lock();
        sagas.iter().copied().filter(|saga| waiting.contains_key(saga)).collect()
    }

    /// Returns all sagas that a client waits for.
    pub(crate) fn awaited(&self) -> Vec<SagaId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SagaId, Vec<oneshot::Sender<Order>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Waits until the order has ended, and returns it. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Option<Order> {
        (&mut self.ended).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.ended.close();
        let mut waiting = self.watchers.lock();
        if let Some(others) = waiting.get_mut(&self.saga_id) {
            others.retain(|sender| !sender.is_closed());
            if others.is_empty() {
                waiting.remove(&self.saga_id);
            }
        }
    }
}
