use std::{
    collections::VecDeque,
    mem,
    num::NonZeroUsize,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use service_http::access::Owner;
use tokio::{sync::watch, time::sleep_until};

use super::{position::Position, sent_states::SentStates};
use crate::domain::Order;

/// How long changes are kept after the last client has left, in case it comes back.
const KEPT: Duration = Duration::from_secs(30);

/// How many changes a client takes at once, at most.
const AT_ONCE: usize = 64;

/// A client that waits is woken at most once in this time, with all changes since. Each wake costs a switch of tasks
/// and a write to its socket, for each client.
const PAUSE: Duration = Duration::from_millis(50);

/// The newest changes of orders, for the clients that watch. While nobody watches, and nobody has for half a minute,
/// nothing is kept.
#[derive(Debug)]
pub(super) struct Changes {
    capacity: NonZeroUsize,
    newest: Mutex<Newest>,
    /// When the last client left.
    left: Mutex<Option<Instant>>,
    signal: watch::Sender<()>,
}

/// The changes that are kept, without a gap between them.
#[derive(Debug)]
struct Newest {
    /// The position of the newest one.
    last: Position,
    orders: VecDeque<Arc<Changed>>,
    sent: SentStates,
}

/// A client that watches all changes, or those of the orders of one owner.
#[derive(Debug)]
pub(crate) struct Subscription {
    changes: Arc<Changes>,
    owner: Option<Owner>,
    signal: watch::Receiver<()>,
    position: Position,
    taken: VecDeque<Arc<Changed>>,
    /// When it was woken last.
    woken: Option<tokio::time::Instant>,
}

/// The state of an order after a change. What all clients are told of it is written once.
#[derive(Debug)]
pub(crate) struct Changed {
    order: Order,
    text: OnceLock<String>,
}

impl Changed {
    pub(super) fn new(order: Order) -> Self {
        Self { order, text: OnceLock::new() }
    }

    /// Returns what `write` has written at the first call, by whichever client.
    pub(crate) fn text(&self, write: impl FnOnce(&Order) -> String) -> &str {
        self.text.get_or_init(|| write(&self.order))
    }
}

impl Deref for Changed {
    type Target = Order;

    fn deref(&self) -> &Order {
        &self.order
    }
}

/// What a client is told.
#[derive(Debug)]
pub(crate) enum Change {
    /// An order has changed.
    Order(Arc<Changed>),
    /// Changes are no longer there; how many is only known if they were of the same series, and of all owners.
    Missed(Option<u64>),
}

/// Changes that a client should get are no longer there.
struct Gap {
    missed: Option<u64>,
    /// Where the client continues.
    at: Position,
}

impl Changes {
    /// At most `capacity` changes are kept.
    pub(super) fn new(capacity: NonZeroUsize) -> Arc<Self> {
        let newest = Newest { last: Position::begin(), orders: VecDeque::new(), sent: SentStates::default() };
        let (newest, left) = (Mutex::new(newest), Mutex::default());
        Arc::new(Self { capacity, newest, left, signal: watch::Sender::new(()) })
    }

    /// Subscribes to all changes of the orders of `owner`, or of all orders, after this position, or from now on.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        after: Option<Position>,
        owner: Option<Owner>,
        now: Instant,
    ) -> Subscription {
        let mut newest = self.lock();
        if !self.are_kept(now) {
            // Changes since the last client left were not kept, so nobody can resume across them.
            newest.clear();
            newest.last = Position::begin();
        }
        let (signal, position) = (self.signal.subscribe(), after.unwrap_or(newest.last));
        Subscription { changes: Arc::clone(self), owner, signal, position, taken: VecDeque::new(), woken: None }
    }

    /// Returns whether changes are kept at this time.
    pub(super) fn are_kept(&self, now: Instant) -> bool {
        let left = || *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.signal.receiver_count() > 0 || left().is_some_and(|left| now.saturating_duration_since(left) < KEPT)
    }

    /// Passes changes on. A state that is older than what was passed on before is dropped.
    pub(super) fn publish(&self, orders: Vec<Order>, now: Instant) {
        // The lock is held until all are there, so that concurrent calls cannot overtake each other.
        let mut newest = self.lock();
        if !self.are_kept(now) {
            return newest.clear();
        }
        for order in orders {
            if newest.sent.is_new(&order) {
                newest.push(order, self.capacity);
            }
        }
        drop(newest);
        self.signal.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newest {
    fn push(&mut self, order: Order, capacity: NonZeroUsize) {
        if self.orders.len() >= capacity.get() {
            self.orders.pop_front();
        }
        self.orders.push_back(Arc::new(Changed::new(order)));
        self.last.number += 1;
    }

    /// Returns the next changes after this position, oldest first.
    fn after(&self, position: Position) -> Result<VecDeque<Arc<Changed>>, Gap> {
        if position.series != self.last.series || position.number > self.last.number {
            return Err(Gap { missed: None, at: self.last });
        }
        let before_oldest = self.last.number - self.orders.len() as u64;
        let Some(skipped) = position.number.checked_sub(before_oldest) else {
            let at = Position { number: before_oldest, ..self.last };
            return Err(Gap { missed: Some(before_oldest - position.number), at });
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Ok(self.orders.iter().skip(skipped).take(AT_ONCE).cloned().collect())
    }

    fn clear(&mut self) {
        drop((mem::take(&mut self.orders), mem::take(&mut self.sent)));
    }
}

impl Subscription {
    /// Returns the position of what was returned last.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Waits for the next change that the client may see. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Change {
        loop {
            while let Some(order) = self.taken.pop_front() {
                self.position.number += 1;
                if order.is_visible_to(self.owner.as_ref().map(Owner::as_str)) {
                    return Change::Order(order);
                }
            }
            let taken = self.changes.lock().after(self.position);
            match taken {
                Ok(orders) => self.taken = orders,
                Err(gap) => {
                    self.position = gap.at;
                    // Most of them may have been changes of others.
                    return Change::Missed(gap.missed.filter(|_| self.owner.is_none()));
                }
            }
            if self.taken.is_empty() {
                // It fails only if the sender is dropped, which `changes` owns.
                let _ = self.signal.changed().await;
                if let Some(woken) = self.woken {
                    sleep_until(woken + PAUSE).await;
                }
                self.woken = Some(tokio::time::Instant::now());
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        *self.changes.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::{
        super::testing::{order, order_of},
        *,
    };

    fn changes() -> Arc<Changes> {
        Changes::new(NonZeroUsize::new(3).unwrap())
    }

    /// What is there for the client without waiting: the versions of the order, and `-N` for N that it missed.
    fn all(subscription: &mut Subscription) -> Vec<i64> {
        let next = || subscription.next().now_or_never();
        std::iter::from_fn(next)
            .map(|change| match change {
                Change::Order(order) => order.version,
                Change::Missed(missed) => -i64::try_from(missed.unwrap_or_default()).unwrap(),
            })
            .collect()
    }

    fn publish(changes: &Changes, versions: impl IntoIterator<Item = i64>, now: Instant) {
        versions.into_iter().for_each(|version| changes.publish(vec![order(1, version, 1)], now));
    }

    #[tokio::test]
    async fn who_is_too_slow_continues_with_the_oldest_that_is_there() {
        let (changes, now) = (changes(), Instant::now());
        let mut slow = changes.subscribe(None, None, now);
        publish(&changes, 1..=2, now);
        assert_eq!(all(&mut slow), [1, 2]);
        publish(&changes, 3..=7, now);
        assert_eq!(all(&mut slow), [-2, 5, 6, 7]);
        // Also who has taken some changes and not yet been told them.
        publish(&changes, 8..=9, now);
        let Some(Change::Order(told)) = slow.next().now_or_never() else { panic!("there are two") };
        assert_eq!(told.version, 8);
        publish(&changes, 10..=14, now);
        assert_eq!(all(&mut slow), [9, -2, 12, 13, 14]);
    }

    #[tokio::test]
    async fn changes_are_kept_for_a_while_after_the_last_client_has_left() {
        let (changes, now) = (changes(), Instant::now());
        assert!(!changes.are_kept(now));
        let mut first = changes.subscribe(None, None, now);
        publish(&changes, 1..=1, now);
        assert_eq!(all(&mut first), [1]);
        let position = first.position();
        drop(first);
        let soon = Instant::now() + KEPT / 2;
        publish(&changes, 2..=3, soon);
        assert_eq!(all(&mut changes.subscribe(Some(position), None, soon)), [2, 3]);
        let late = Instant::now() + KEPT;
        assert!(!changes.are_kept(late));
        publish(&changes, 4..=4, late);
        assert!(changes.lock().orders.is_empty());
        assert_eq!(all(&mut changes.subscribe(Some(position), None, late)), [0]);
    }

    #[tokio::test]
    async fn nobody_resumes_across_a_time_without_changes_kept() {
        let (changes, now) = (changes(), Instant::now());
        let position = changes.subscribe(None, None, now).position();
        // What changes while nothing is kept has no number, so the last position looks as if nothing was missed.
        let late = Instant::now() + KEPT;
        let mut resumed = changes.subscribe(Some(position), None, late);
        assert!(matches!(resumed.next().now_or_never(), Some(Change::Missed(None))));
        publish(&changes, 1..=1, late);
        assert_eq!(all(&mut resumed), [1]);
    }

    #[tokio::test]
    async fn what_clients_are_told_of_a_change_is_written_once() {
        let (changes, now) = (changes(), Instant::now());
        let mut clients = [changes.subscribe(None, None, now), changes.subscribe(None, None, now)];
        publish(&changes, [1], now);
        for (number, client) in clients.iter_mut().enumerate() {
            let Some(Change::Order(told)) = client.next().now_or_never() else { panic!("there is one") };
            assert_eq!(told.text(|order| format!("{} by {number}", order.version)), "1 by 0");
        }
    }

    #[tokio::test]
    async fn a_client_is_told_of_the_orders_of_its_owner_only() {
        let (changes, now) = (changes(), Instant::now());
        let of = |owner: &str| changes.subscribe(None, Some(owner.parse().unwrap()), now);
        let (mut a, mut b, mut everybody) = (of("a"), of("b"), changes.subscribe(None, None, now));
        let owners = ["a", "", "b"];
        changes.publish((1..).zip(owners).map(|(id, owner)| order_of(owner, id, id, 1)).collect(), now);
        assert_eq!((all(&mut a), all(&mut b), all(&mut everybody)), (vec![1], vec![3], vec![1, 2, 3]));
        // It resumes where it is in the changes of all, and there are no changes that it has missed.
        assert_eq!(a.position(), everybody.position());
        let mut resumed = changes.subscribe(Some(a.position()), Some("a".parse().unwrap()), now);
        assert!(all(&mut resumed).is_empty());
        // How many changes there were of others is not told.
        publish(&changes, 4..=9, now);
        assert!(matches!(resumed.next().now_or_never(), Some(Change::Missed(None))));
        assert!(all(&mut resumed).is_empty());
    }
}
