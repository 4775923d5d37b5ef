use std::collections::{HashMap, HashSet};

use shared_events::MessageId;

use crate::broker::{Outcome, Verdict};

/// Finds out which acknowledged messages were unroutable.
///
/// RabbitMQ returns an unroutable mandatory message and then acknowledges it like any other. lapin hands the return over
/// with whichever confirm it resolves next, and resolves the confirms of one "multiple" acknowledgement in no order at all:
/// so a message's own confirm says nothing, and its return may come with a later one. Only this much is certain: once the
/// acknowledgement of a message has been worked off entirely, its return has been handed over with some confirm.
///
/// A message for several consumers is as many messages on the wire (copies), with one id. Its acknowledgement is that of all
/// of them, and one that came back is enough for it to be unroutable.
///
/// So verdicts wait for a proof that everything up to now has been worked off: the answer to a request that was made
/// later. What was acknowledged before the request is certain when the answer is there.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    returned: HashSet<MessageId>,
    /// Of messages in several copies: what is still to come.
    copies: HashMap<MessageId, Copies>,
    /// Acknowledged, and no proof is asked for yet.
    acknowledged: Vec<MessageId>,
    /// Acknowledged before the proof was asked for.
    proving: Vec<MessageId>,
}

#[derive(Debug)]
struct Copies {
    unanswered: usize,
    refused: bool,
}

/// What the broker answered to all copies of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took them, or sent some of them back.
    Acknowledged,
    /// It did not take at least one of them.
    Refused,
}

impl Verdicts {
    /// This message was handed over in so many copies, at least one.
    pub(super) fn handed_over(&mut self, message: MessageId, copies: usize) {
        if copies > 1 {
            self.copies.insert(message, Copies { unanswered: copies, refused: false });
        }
    }

    /// The broker has answered to a copy of this message; returns the answer to all copies once the last one is there.
    pub(super) fn answered(&mut self, message: MessageId, answer: Answer) -> Option<Answer> {
        let Some(copies) = self.copies.get_mut(&message) else { return Some(answer) };
        copies.unanswered -= 1;
        copies.refused |= answer == Answer::Refused;
        if copies.unanswered > 0 {
            return None;
        }
        let refused = copies.refused;
        self.copies.remove(&message);
        Some(if refused { Answer::Refused } else { Answer::Acknowledged })
    }

    /// This message came back, with whichever confirm.
    pub(super) fn returned(&mut self, message: MessageId) {
        self.returned.insert(message);
    }

    /// This mandatory message was acknowledged.
    pub(super) fn acknowledged(&mut self, message: MessageId) {
        self.acknowledged.push(message);
    }

    /// Whether a proof is to be asked for. One is asked for at a time.
    pub(super) fn lack_a_proof(&self) -> bool {
        self.proving.is_empty() && !self.acknowledged.is_empty()
    }

    /// The proof is being asked for.
    pub(super) fn ask_for_proof(&mut self) {
        self.proving.append(&mut self.acknowledged);
    }

    /// The proof is there, and all confirms that were resolved up to now have been heard.
    pub(super) fn proved(&mut self) -> Vec<Outcome> {
        let proved = std::mem::take(&mut self.proving);
        let outcome = |message_id| {
            let unroutable = self.returned.remove(&message_id);
            Outcome { message_id, verdict: if unroutable { Verdict::Unroutable } else { Verdict::Confirmed } }
        };
        proved.into_iter().map(outcome).collect()
    }

    /// Whether no verdict on an acknowledged message is open.
    pub(super) fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.proving.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn message(number: u128) -> MessageId {
        MessageId(Uuid::from_u128(number))
    }

    #[test]
    fn a_return_that_comes_with_a_later_confirm_is_seen() {
        let mut verdicts = Verdicts::default();
        assert!(verdicts.is_empty() && !verdicts.lack_a_proof());
        verdicts.acknowledged(message(1));
        verdicts.acknowledged(message(2));
        assert!(verdicts.lack_a_proof());
        verdicts.ask_for_proof();
        // The return of the first comes with the confirm of the third.
        verdicts.acknowledged(message(3));
        verdicts.returned(message(1));
        assert!(!verdicts.lack_a_proof(), "one at a time");
        let outcome = |number, verdict| Outcome { message_id: message(number), verdict };
        assert_eq!(verdicts.proved(), [outcome(1, Verdict::Unroutable), outcome(2, Verdict::Confirmed)]);
        assert!(!verdicts.is_empty() && verdicts.lack_a_proof());
        verdicts.ask_for_proof();
        assert_eq!(verdicts.proved(), [outcome(3, Verdict::Confirmed)]);
        assert!(verdicts.is_empty());
    }

    #[test]
    fn a_message_in_copies_is_answered_with_the_last_of_them_and_refused_with_any() {
        let mut verdicts = Verdicts::default();
        verdicts.handed_over(message(1), 1);
        assert_eq!(verdicts.answered(message(1), Answer::Refused), Some(Answer::Refused));
        for (first, second, all) in [
            (Answer::Acknowledged, Answer::Acknowledged, Answer::Acknowledged),
            (Answer::Refused, Answer::Acknowledged, Answer::Refused),
            (Answer::Acknowledged, Answer::Refused, Answer::Refused),
        ] {
            // As often as it is published again.
            verdicts.handed_over(message(2), 2);
            assert_eq!(verdicts.answered(message(2), first), None);
            assert_eq!(verdicts.answered(message(2), second), Some(all));
        }
    }

    #[test]
    fn one_copy_that_came_back_is_enough() {
        let mut verdicts = Verdicts::default();
        verdicts.handed_over(message(1), 2);
        verdicts.returned(message(1));
        verdicts.answered(message(1), Answer::Acknowledged);
        assert_eq!(verdicts.answered(message(1), Answer::Acknowledged), Some(Answer::Acknowledged));
        verdicts.acknowledged(message(1));
        verdicts.ask_for_proof();
        assert_eq!(verdicts.proved(), [Outcome { message_id: message(1), verdict: Verdict::Unroutable }]);
    }
}
