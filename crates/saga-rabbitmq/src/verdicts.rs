use std::{collections::HashMap, time::Duration};

use saga_message::MessageId;

use saga_runtime::broker::{Outcome, Verdict};

/// Puts together what the broker says of the copies of each message, and finds out which of them were unroutable.
///
/// RabbitMQ returns an unroutable mandatory message and then acknowledges it like any other. lapin hands the return
/// over with whichever confirm it resolves next, and resolves the confirms of one "multiple" acknowledgement in no
/// order at all: so a copy's own confirm says nothing, and its return may come with a later one, of another message.
/// Only this much is certain: once the acknowledgement of a copy has been worked off entirely, its return has been
/// handed over with some confirm.
///
/// So verdicts wait for a proof that everything up to now has been worked off: the answer to a request that was made
/// later. Of a message whose copies were all answered for before the request, all is known when the answer is there.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// The messages whose verdict is not known yet.
    open: HashMap<MessageId, Open>,
    /// All their copies are answered for, and no proof is asked for yet.
    answered: Vec<MessageId>,
    /// Their copies were answered for before the proof was asked for.
    proving: Vec<MessageId>,
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

impl Verdicts {
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

    /// Whether a proof is to be asked for. One is asked for at a time.
    pub(crate) fn lack_a_proof(&self) -> bool {
        self.proving.is_empty() && !self.answered.is_empty()
    }

    /// The proof is being asked for.
    pub(crate) fn ask_for_proof(&mut self) {
        self.proving.append(&mut self.answered);
    }

    /// The proof is there, and all confirms that were resolved up to now have been heard.
    pub(crate) fn proved(&mut self) -> Vec<Outcome> {
        let proved = std::mem::take(&mut self.proving).into_iter();
        proved
            .filter_map(|message_id| Some(Outcome { message_id, verdict: self.open.remove(&message_id)?.verdict() }))
            .collect()
    }

    /// When the oldest message was published whose verdict is open.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.open.values().map(|open| open.published).min()
    }

    /// Whether no verdict is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Open {
    fn verdict(self) -> Verdict {
        if !self.returned.is_empty() {
            Verdict::Unroutable(self.returned)
        } else if self.refused {
            Verdict::Refused
        } else {
            Verdict::Confirmed
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

    fn outcome(number: u128, verdict: Verdict) -> Outcome {
        Outcome { message_id: message(number), verdict }
    }

    fn unroutable(keys: &[&str]) -> Verdict {
        Verdict::Unroutable(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    /// Messages with these numbers, published in so many copies each.
    fn published(copies: &[(u128, usize)]) -> Verdicts {
        let mut verdicts = Verdicts::default();
        for &(number, copies) in copies {
            verdicts.published(message(number), copies, Duration::from_secs(number as u64));
        }
        verdicts
    }

    #[test]
    fn a_return_that_comes_with_a_later_confirm_is_seen() {
        let mut verdicts = published(&[(1, 1), (2, 1), (3, 1)]);
        assert!(!verdicts.is_empty() && !verdicts.lack_a_proof());
        verdicts.answered(message(1), true);
        verdicts.answered(message(2), true);
        assert!(verdicts.lack_a_proof());
        verdicts.ask_for_proof();
        // The return of the first comes with the confirm of the third.
        verdicts.answered(message(3), true);
        verdicts.returned(message(1), "a");
        assert!(!verdicts.lack_a_proof(), "one at a time");
        assert_eq!(verdicts.proved(), [outcome(1, unroutable(&["a"])), outcome(2, Verdict::Confirmed)]);
        assert!(!verdicts.is_empty() && verdicts.lack_a_proof());
        verdicts.ask_for_proof();
        assert_eq!(verdicts.proved(), [outcome(3, Verdict::Confirmed)]);
        assert!(verdicts.is_empty());
    }

    #[test]
    fn a_message_is_what_its_worst_copy_is() {
        let mut verdicts = published(&[(1, 2), (2, 2), (3, 2), (4, 1)]);
        for number in [1, 2, 3, 4] {
            verdicts.answered(message(number), true);
        }
        verdicts.ask_for_proof();
        assert_eq!(verdicts.proved(), [outcome(4, Verdict::Confirmed)], "the others wait for their second copy");
        // One copy came back of the first, the other one is refused. All is told once, when all is known.
        verdicts.returned(message(1), "a");
        for (number, taken) in [(1, false), (2, false), (3, true)] {
            verdicts.answered(message(number), taken);
        }
        verdicts.returned(message(3), "a");
        verdicts.ask_for_proof();
        verdicts.returned(message(3), "b");
        let expected =
            [outcome(1, unroutable(&["a"])), outcome(2, Verdict::Refused), outcome(3, unroutable(&["a", "b"]))];
        assert_eq!(verdicts.proved(), expected);
        assert!(verdicts.is_empty());
        // Published again, it has a fresh start.
        verdicts.published(message(1), 1, Duration::ZERO);
        verdicts.answered(message(1), true);
        verdicts.ask_for_proof();
        assert_eq!(verdicts.proved(), [outcome(1, Verdict::Confirmed)]);
    }

    #[test]
    fn the_oldest_open_message_is_known() {
        let mut verdicts = published(&[(7, 2), (5, 1), (9, 1)]);
        assert_eq!(verdicts.oldest(), Some(Duration::from_secs(5)));
        verdicts.answered(message(5), true);
        verdicts.answered(message(7), true);
        assert_eq!(verdicts.oldest(), Some(Duration::from_secs(5)), "without a proof, nothing is known");
        verdicts.ask_for_proof();
        verdicts.proved();
        assert_eq!(verdicts.oldest(), Some(Duration::from_secs(7)));
    }
}
