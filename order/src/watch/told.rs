use std::{collections::HashMap, mem};

use shared_events::{OrderId, Timestamp};

use crate::domain::Order;

/// How many orders a generation remembers. What is told late was read or committed just before, and both are given up
/// after half a minute at most; so this is enough for a thousand changed orders a second with the whole half minute in
/// between, and takes a few megabytes.
const GENERATION: usize = 32_768;

/// Which state of which order the watchers were told last, so that they are told nothing older. It remembers at least
/// the last 32,768 orders, at most twice as many, and forgets those first that were told longest ago.
#[derive(Debug, Default)]
pub(super) struct Told {
    young: HashMap<OrderId, State>,
    old: HashMap<OrderId, State>,
}

/// A replica of a release that knows no versions leaves them as they are; then the time of the change decides.
type State = (i64, Timestamp);

impl Told {
    /// Whether `order` is newer than what was told of it. It is remembered then.
    pub(super) fn is_new(&mut self, order: &Order) -> bool {
        let (id, state) = (order.details.order_id, (order.version, order.changed_at));
        if self.young.get(&id).or_else(|| self.old.get(&id)).is_some_and(|told| *told >= state) {
            return false;
        }
        self.young.insert(id, state);
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        true
    }

    /// Nobody watches any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared_events::{Line, Lines, Money, Quantity, SagaId, Sku};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{CancelPolicy, NewOrder};

    fn order(id: i64, version: i64, second: u64) -> Order {
        let line = Line { sku: Sku::parse("A").unwrap(), quantity: Quantity::new(1).unwrap() };
        let new = NewOrder {
            saga_id: SagaId(Uuid::from_u128(7)),
            lines: Lines::new([line]).unwrap(),
            total: Money::from_minor_units(1, "USD".parse().unwrap()).unwrap(),
            idempotency_key: None,
        };
        let cancel_policy =
            CancelPolicy { deadline: Duration::ZERO, first_repeat: Duration::ZERO, longest_repeat: Duration::ZERO };
        let now = Timestamp::default().after(Duration::from_secs(second));
        let (order, _) = Order::place(new, OrderId(id), now, &cancel_policy);
        Order { version, ..order }
    }

    #[test]
    fn only_what_is_newer_is_new() {
        let mut told = Told::default();
        let states = [(1, 1, true), (1, 1, false), (3, 2, true), (2, 2, false), (3, 3, true), (3, 2, false)];
        for (version, second, new) in states {
            assert_eq!(told.is_new(&order(1, version, second)), new, "version {version} of second {second}");
        }
        assert!(told.is_new(&order(2, 1, 1)), "another order");
        told.forget();
        assert!(told.is_new(&order(1, 1, 1)));
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_told_longest_ago() {
        let mut told = Told::default();
        let generation = i64::try_from(GENERATION).unwrap();
        for id in 1..=3 * generation {
            assert!(told.is_new(&order(id, 2, 1)));
            assert!(told.young.len() + told.old.len() <= 2 * GENERATION);
            assert!(!told.is_new(&order(id - generation / 2, 1, 1)) || id <= generation / 2);
        }
        assert!(told.is_new(&order(1, 1, 1)));
    }
}
