use std::{collections::HashMap, time::Duration};

use saga_message::MessageId;

use saga_runtime::broker::{Outcome, PublishResult};

/// Combines the broker's answers for all copies of a message, and finds out which copies were unroutable.
///
/// RabbitMQ returns an unroutable mandatory message and then acknowledges it like any other. lapin attaches the return
/// to whichever confirm it resolves next, and it resolves the confirms of one "multiple" acknowledgement in no
/// particular order. So a copy's own confirm does not show whether the copy was returned; the return may come with a
/// later confirm, of another message. Only one thing is certain: once lapin has fully processed the acknowledgement of
/// a copy, it has attached the copy's return to some confirm.
///
/// So the tracker waits for a barrier, which proves that lapin has processed everything before it: the answer to a
/// request that was sent later. If all copies of a message were answered before the request, then all returns of the
/// message are known when the answer arrives.
#[derive(Debug, Default)]
pub(crate) struct ReturnTracker {
    /// The messages whose result is not known yet.
    open: HashMap<MessageId, Open>,
    /// Messages whose copies are all answered, and for which no barrier was requested yet.
    answered: Vec<MessageId>,
    /// Messages whose copies were all answered before the current barrier was requested, so that it decides about them.
    behind_barrier: Vec<MessageId>,
}

#[derive(Debug, Default)]
struct Open {
    /// When it was published, by the publisher's clock.
    published: Duration,
    /// How many copies the broker has not answered yet.
    unanswered: usize,
    /// Whether the broker refused (nacked) a copy.
    refused: bool,
    /// The consumers whose copies were returned.
    returned: Vec<String>,
}

impl ReturnTracker {
    /// Records that a message was published in this number of copies, at this time of the publisher's clock.
    pub(crate) fn published(&mut self, message: MessageId, copies: usize, now: Duration) {
        self.open.insert(message, Open { published: now, unanswered: copies, ..Open::default() });
    }

    /// Records that the copy for this consumer was returned, with whichever confirm.
    pub(crate) fn returned(&mut self, message: MessageId, consumer: &str) {
        if let Some(open) = self.open.get_mut(&message) {
            open.returned.push(consumer.to_owned());
        }
    }

    /// Records the broker's answer for one more copy: acknowledged, or refused (nacked).
    pub(crate) fn answered(&mut self, message: MessageId, acknowledged: bool) {
        let Some(open) = self.open.get_mut(&message) else { return };
        open.refused |= !acknowledged;
        open.unanswered = open.unanswered.saturating_sub(1);
        if open.unanswered == 0 {
            self.answered.push(message);
        }
    }

    /// Returns whether a barrier should be requested. Only one is requested at a time.
    pub(crate) fn needs_barrier(&self) -> bool {
        self.behind_barrier.is_empty() && !self.answered.is_empty()
    }

    /// Call when the barrier is requested.
    pub(crate) fn begin_barrier(&mut self) {
        self.behind_barrier.append(&mut self.answered);
    }

    /// Call when the barrier's answer has arrived and all confirms that were resolved before it have been handled.
    /// Returns the outcomes that are now known.
    pub(crate) fn pass_barrier(&mut self) -> Vec<Outcome> {
        let known = std::mem::take(&mut self.behind_barrier).into_iter();
        known
            .filter_map(|message_id| Some(Outcome { message_id, result: self.open.remove(&message_id)?.result() }))
            .collect()
    }

    /// Returns when the oldest message without a result was published.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.open.values().map(|open| open.published).min()
    }

    /// Returns whether all results are known.
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

    /// Tracks messages with these numbers, each published in this number of copies.
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
    fn the_worst_copy_determines_the_result() {
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
        // One copy of the first message was returned, the other one is refused. The result is reported once, when all
        // is known.
        return_tracker.returned(message(1), "a");
        for (number, acknowledged) in [(1, false), (2, false), (3, true)] {
            return_tracker.answered(message(number), acknowledged);
        }
        return_tracker.returned(message(3), "a");
        return_tracker.begin_barrier();
        return_tracker.returned(message(3), "b");
        let expected =
            [outcome(1, unroutable(&["a"])), outcome(2, PublishResult::Refused), outcome(3, unroutable(&["a", "b"]))];
        assert_eq!(return_tracker.pass_barrier(), expected);
        assert!(return_tracker.is_empty());
        // A message that is published again starts from scratch.
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
