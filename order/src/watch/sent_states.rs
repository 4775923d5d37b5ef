use std::{collections::HashMap, mem};

use shared_events::{OrderId, Timestamp};

use crate::domain::Order;

/// How many orders one generation remembers. A change that is reported late was read or committed shortly before, and
/// both time out after at most half a minute. So this suffices for a thousand changed orders per second, and takes a
/// few megabytes.
const GENERATION: usize = 32_768;

/// The state of each order that was sent to the watchers last, so that they are sent nothing older. Remembers at least
/// the last 32,768 orders, at most twice as many, and forgets first those that were sent longest ago.
#[derive(Debug, Default)]
pub(super) struct SentStates {
    young: HashMap<OrderId, State>,
    old: HashMap<OrderId, State>,
}

/// The version and the time of the change. A replica of a release without versions does not increment the version; then
/// the time decides.
type State = (i64, Timestamp);

impl SentStates {
    /// Returns whether `order` is newer than the state that was sent last, and remembers it in that case.
    pub(super) fn is_new(&mut self, order: &Order) -> bool {
        let (id, state) = (order.details.order_id, (order.version, order.changed_at));
        if self.young.get(&id).or_else(|| self.old.get(&id)).is_some_and(|sent| *sent >= state) {
            return false;
        }
        self.young.insert(id, state);
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::order, *};

    #[test]
    fn only_a_newer_state_is_new() {
        let mut sent = SentStates::default();
        let states = [(1, 1, true), (1, 1, false), (3, 2, true), (2, 2, false), (3, 3, true), (3, 2, false)];
        for (version, second, new) in states {
            assert_eq!(sent.is_new(&order(1, version, second)), new, "version {version} of second {second}");
        }
        assert!(sent.is_new(&order(2, 1, 1)), "another order");
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_sent_longest_ago() {
        let mut sent = SentStates::default();
        let generation = i64::try_from(GENERATION).unwrap();
        for id in 1..=3 * generation {
            assert!(sent.is_new(&order(id, 2, 1)));
            assert!(sent.young.len() + sent.old.len() <= 2 * GENERATION);
            assert!(!sent.is_new(&order(id - generation / 2, 1, 1)) || id <= generation / 2);
        }
        assert!(sent.is_new(&order(1, 1, 1)));
    }
}
