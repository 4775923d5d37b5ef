use std::collections::HashSet;

use shared_events::MessageId;

use crate::broker::{Outcome, Verdict};

/// Finds out which acknowledged messages were unroutable.
///
/// RabbitMQ returns an unroutable mandatory message and then acknowledges it like any other. lapin hands the return over
/// with whichever confirm it resolves next, and resolves the confirms of one "multiple" acknowledgement in no order at all:
/// so a message's own confirm says nothing, and its return may come with a later one. Only this much is certain: once the
/// acknowledgement of a message has been worked off entirely, its return has been handed over with some confirm.
///
/// So verdicts wait for a proof that everything up to now has been worked off: the answer to a request that was made
/// later. What was acknowledged before the request is certain when the answer is there.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    returned: HashSet<MessageId>,
    /// Acknowledged, and no proof is asked for yet.
    acknowledged: Vec<MessageId>,
    /// Acknowledged before the proof was asked for.
    proving: Vec<MessageId>,
}

impl Verdicts {
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

    /// Whether no verdict is open.
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
}
