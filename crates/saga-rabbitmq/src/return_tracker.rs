use std::{collections::HashMap, time::Duration};

use saga_message::MessageId;

use saga_runtime::broker::{Outcome, PublishResult};

/// Puts together what the broker says of the copies of each message, and finds out which of them were unroutable.
///
/// RabbitMQ returns an unroutable mandatory message and then acknowledges it like any other. lapin hands the return
/// over with whichever confirm it resolves next, and resolves the confirms of one "multiple" acknowledgement in no
/// order at all: so a copy's own confirm says nothing, and its return may come with a later one, of another message.
/// Only this much is certain: once the acknowledgement of a copy has been worked off entirely, its return has been
/// handed over with some confirm.
///
/// So return_tracker wait for a barrier that everything up to now has been worked off: the answer to a request that was made
/// later. Of a message whose copies were all answered for before the request, all is known when the answer is there.
#[derive(Debug, Default)]
pub(crate) struct ReturnTracker {
    /// The messages whose result is not known yet.
    open: HashMap<MessageId, Open>,
    /// All their copies are answered for, and no barrier is asked for yet.
    answered: Vec<MessageId>,
    /// Their copies were answered for before the barrier was asked for.
    behind_barrier: Vec<MessageId>,
}

#[derive(Debug, Default)]
struct Open {
    /// By the publisher's clock.
    published: Duration,
    /// How many copies the broker has not answered for.
    unanswered: usize,
    /// Whether it did not take one of them.
    refused: bool,
    /// The consumers whose copies came back.
    returned: Vec<String>,
}

impl ReturnTracker {
    /// This message is published in so many copies, at this time of the publisher's clock.
    pub(crate) fn published(&mut self, message: MessageId, copies: usize, now: Duration) {
        self.open.insert(message, Open { published: now, unanswered: copies, ..Open::default() });
    }

    /// The copy of this message for this consumer came back, with whichever confirm.
    pub(crate) fn returned(&mut self, message: MessageId, consumer: &str) {
        if let Some(open) = self.open.get_mut(&message) {
            open.returned.push(consumer.to_owned());
        }
    }

    /// The broker has answered for one more copy of this message: whether it has taken it.
    pub(crate) fn answered(&mut self, message: MessageId, taken: bool) {
        let Some(open) = self.open.get_mut(&message) else { return };
        open.refused |= !taken;
        open.unanswered = open.unanswered.saturating_sub(1);
        if open.unanswered == 0 {
            self.answered.push(message);
        }
    }

    /// Whether a barrier is to be asked for. One is asked for at a time.
    pub(crate) fn needs_barrier(&self) -> bool {
        self.behind_barrier.is_empty() && !self.answered.is_empty()
    }

    /// The barrier is being asked for.
    pub(crate) fn begin_barrier(&mut self) {
        self.behind_barrier.append(&mut self.answered);
    }

    /// The barrier is there, and all confirms that were resolved up to now have been heard.
    pub(crate) fn pass_barrier(&mut self) -> Vec<Outcome> {
        let pass_barrier = std::mem::take(&mut self.behind_barrier).into_iter();
        pass_barrier
            .filter_map(|message_id| Some(Outcome { message_id, result: self.open.remove(&message_id)?.result() }))
            .collect()
    }

    /// When the oldest message was published whose result is open.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.open.values().map(|open| open.published).min()
    }

    /// Whether no result is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Open {
    fn result(self) -> PublishResult {
        if !self.returned.is_empty() {
            PublishResult::Unroutable(self.returned)
        } else if self.refused {
            PublishResult::Refused
        } else {
            PublishResult::Confirmed
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn message(number: u128) -> MessageId {
        MessageId(Uuid::from_u128(number))
    }

    fn outcome(number: u128, result: PublishResult) -> Outcome {
        Outcome { message_id: message(number), result }
    }

    fn unroutable(keys: &[&str]) -> PublishResult {
        PublishResult::Unroutable(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    /// Messages with these numbers, published in so many copies each.
    fn published(copies: &[(u128, usize)]) -> ReturnTracker {
        let mut return_tracker = ReturnTracker::default();
        for &(number, copies) in copies {
            return_tracker.published(message(number), copies, Duration::from_secs(number as u64));
        }
        return_tracker
    }

    #[test]
    fn a_return_that_comes_with_a_later_confirm_is_seen() {
        let mut return_tracker = published(&[(1, 1), (2, 1), (3, 1)]);
        assert!(!return_tracker.is_empty() && !return_tracker.needs_barrier());
        return_tracker.answered(message(1), true);
        return_tracker.answered(message(2), true);
        assert!(return_tracker.needs_barrier());
        return_tracker.begin_barrier();
        // The return of the first comes with the confirm of the third.
        return_tracker.answered(message(3), true);
        return_tracker.returned(message(1), "a");
        assert!(!return_tracker.needs_barrier(), "one at a time");
        assert_eq!(
            return_tracker.pass_barrier(),
            [outcome(1, unroutable(&["a"])), outcome(2, PublishResult::Confirmed)]
        );
        assert!(!return_tracker.is_empty() && return_tracker.needs_barrier());
        return_tracker.begin_barrier();
        assert_eq!(return_tracker.pass_barrier(), [outcome(3, PublishResult::Confirmed)]);
        assert!(return_tracker.is_empty());
    }

    #[test]
    fn a_message_is_what_its_worst_copy_is() {
        let mut return_tracker = published(&[(1, 2), (2, 2), (3, 2), (4, 1)]);
        for number in [1, 2, 3, 4] {
            return_tracker.answered(message(number), true);
        }
        return_tracker.begin_barrier();
        assert_eq!(
            return_tracker.pass_barrier(),
            [outcome(4, PublishResult::Confirmed)],
            "the others wait for their second copy"
        );
        // One copy came back of the first, the other one is refused. All is told once, when all is known.
        return_tracker.returned(message(1), "a");
        for (number, taken) in [(1, false), (2, false), (3, true)] {
            return_tracker.answered(message(number), taken);
        }
        return_tracker.returned(message(3), "a");
        return_tracker.begin_barrier();
        return_tracker.returned(message(3), "b");
        let expected =
            [outcome(1, unroutable(&["a"])), outcome(2, PublishResult::Refused), outcome(3, unroutable(&["a", "b"]))];
        assert_eq!(return_tracker.pass_barrier(), expected);
        assert!(return_tracker.is_empty());
        // Published again, it has a fresh start.
        return_tracker.published(message(1), 1, Duration::ZERO);
        return_tracker.answered(message(1), true);
        return_tracker.begin_barrier();
        assert_eq!(return_tracker.pass_barrier(), [outcome(1, PublishResult::Confirmed)]);
    }

    #[test]
    fn the_oldest_open_message_is_known() {
        let mut return_tracker = published(&[(7, 2), (5, 1), (9, 1)]);
        assert_eq!(return_tracker.oldest(), Some(Duration::from_secs(5)));
        return_tracker.answered(message(5), true);
        return_tracker.answered(message(7), true);
        assert_eq!(return_tracker.oldest(), Some(Duration::from_secs(5)), "without a barrier, nothing is known");
        return_tracker.begin_barrier();
        return_tracker.pass_barrier();
        assert_eq!(return_tracker.oldest(), Some(Duration::from_secs(7)));
    }
}
