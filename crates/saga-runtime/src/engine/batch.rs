use saga_message::{MessageId, SystemId};
use tokio::sync::oneshot;

use super::{
    Participant, Refusal,
    dead_letter::bounded,
    pending::{Origin, Pending, unavailable},
    redrive::{DeadLetterAgain, Discard},
};
use crate::identity::SystemIdentity;

/// An item of the mailbox.
#[derive(Debug)]
pub(super) enum Item<P: Participant> {
    Input(Pending<P>),
    /// A redriven dead letter that still cannot be decoded.
    DeadLetterAgain(DeadLetterAgain),
    /// A dead letter to be deleted.
    Discard(Discard),
    /// Confirmed messages to be deleted from the outbox.
    Confirmed {
        messages: Vec<MessageId>,
        forgotten: oneshot::Sender<()>,
    },
}

impl<P: Participant> Item<P> {
    /// Returns for how many inputs it counts.
    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Input(pending) => pending.events(),
            Self::DeadLetterAgain(_) | Self::Discard(_) | Self::Confirmed { .. } => 1,
        }
    }

    /// Returns whether it is a message.
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Input(pending) if pending.received_at().is_some())
    }

    /// Returns whether it is a message that can wait at this service.
    pub(super) fn can_wait_at(&self, service: &str) -> bool {
        matches!(self, Self::Input(pending) if pending.can_wait_at(service))
    }

    /// Refuses a caller's item with the reason `why`; returns any other item.
    pub(super) fn refuse_caller(self, why: &str) -> Option<Self> {
        match self {
            Self::Input(pending) => pending.refuse_caller(why).map(Self::Input),
            Self::DeadLetterAgain(DeadLetterAgain { redrive, .. }) => {
                redrive.answer(Err(unavailable(why)));
                None
            }
            Self::Discard(discard) => {
                discard.answer(Err(unavailable(why)));
                None
            }
            other => Some(other),
        }
    }
}

/// What is committed in one transaction.
#[derive(Debug)]
pub(super) struct Batch<P: Participant> {
    pub(super) inputs: Vec<Pending<P>>,
    pub(super) dead_lettered_again: Vec<DeadLetterAgain>,
    pub(super) discarded: Vec<Discard>,
    pub(super) confirmed: Vec<MessageId>,
    pub(super) forgotten: Vec<oneshot::Sender<()>>,
    /// Whether to query the inbox for known messages before anything is decided. Otherwise all messages are assumed to
    /// be new, which saves a round trip to the database. If one is not new, the batch fails and is tried again with
    /// this flag set.
    pub(super) check_inbox_first: bool,
}

impl<P: Participant> Batch<P> {
    pub(super) fn empty() -> Self {
        Self {
            inputs: Vec::new(),
            dead_lettered_again: Vec::new(),
            discarded: Vec::new(),
            confirmed: Vec::new(),
            forgotten: Vec::new(),
            check_inbox_first: false,
        }
    }

    pub(super) fn of(items: impl IntoIterator<Item = Item<P>>) -> Self {
        let mut batch = Self::empty();
        for item in items {
            match item {
                Item::Input(pending) => {
                    batch.check_inbox_first |= pending.may_be_handled_already();
                    batch.inputs.push(pending);
                }
                Item::DeadLetterAgain(again) => batch.dead_lettered_again.push(again),
                Item::Discard(discard) => batch.discarded.push(discard),
                Item::Confirmed { mut messages, forgotten } => {
                    batch.confirmed.append(&mut messages);
                    batch.forgotten.push(forgotten);
                }
            }
        }
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.without_inputs_is_empty()
    }

    /// Removes one input, which cannot be handled, from the message or command `index`. An event is dead-lettered, or
    /// stays a dead letter, with the rest of the batch; a caller gets an internal error.
    pub(super) fn dead_letter_input(&mut self, index: usize, position: usize, reason: &str) {
        if let Origin::Queue { .. } | Origin::DeadLetter { batch_id: Some(_), .. } = self.inputs[index].origin {
            return self.inputs[index].dead_letter(position, reason);
        }
        let Pending { mut inputs, origin, .. } = self.inputs.remove(index);
        let spans = inputs.iter_mut().filter_map(|input| input.span.take());
        spans.for_each(|span| span.fail("dead_lettered", reason));
        match origin {
            Origin::DeadLetter { redrive, .. } => {
                self.dead_lettered_again.push(DeadLetterAgain { redrive, reason: bounded(reason) })
            }
            Origin::Caller { refuse, .. } => {
                tracing::error!(command = ?inputs, reason, "a command failed");
                let _ = refuse.send(Refusal::Internal);
            }
            Origin::Queue { .. } | Origin::Itself => {
                tracing::error!(command = ?inputs, reason, "a command of the service's own failed")
            }
        }
    }

    /// Removes the messages that belong to another system than `own`. Those from the queue return to it.
    pub(super) fn give_back_foreign(&mut self, own: SystemId, identity: &SystemIdentity) {
        let inputs = std::mem::take(&mut self.inputs);
        for pending in inputs {
            let Some(theirs) = pending.system_id().filter(|theirs| *theirs != own) else {
                self.inputs.push(pending);
                continue;
            };
            let why = format!("it belongs to the system {theirs}, and this service's database to {own}");
            identity.received_foreign(&why);
            if let Origin::DeadLetter { redrive, .. } = pending.origin {
                self.dead_lettered_again.push(DeadLetterAgain { redrive, reason: why });
            }
        }
    }

    /// Refuses all callers with the reason `why`, and keeps the rest, which can wait.
    pub(super) fn refuse_callers(&mut self, why: &str) {
        let inputs = std::mem::take(&mut self.inputs);
        self.inputs = inputs.into_iter().filter_map(|pending| pending.refuse_caller(why)).collect();
        self.dead_lettered_again.drain(..).for_each(|again| again.redrive.answer(Err(unavailable(why))));
        self.discarded.drain(..).for_each(|discard| discard.answer(Err(unavailable(why))));
    }

    /// Returns whether there is an input to decide.
    pub(super) fn has_inputs(&self) -> bool {
        self.inputs.iter().any(|pending| !pending.inputs.is_empty())
    }

    /// Returns whether the batch cannot be divided any further.
    pub(super) fn is_single(&self) -> bool {
        self.inputs.is_empty() || (self.inputs.len() == 1 && self.without_inputs_is_empty())
    }

    fn without_inputs_is_empty(&self) -> bool {
        self.dead_lettered_again.is_empty() && self.discarded.is_empty() && self.confirmed.is_empty()
    }

    /// Divides the batch into one batch for each command and each message, and one for everything else.
    pub(super) fn one_at_a_time(mut self) -> Vec<Self> {
        let inputs = std::mem::take(&mut self.inputs);
        let singles =
            inputs.into_iter().map(|pending| Self { inputs: vec![pending], check_inbox_first: true, ..Self::empty() });
        std::iter::once(self).filter(|batch| !batch.is_empty()).collect::<Vec<_>>().into_iter().chain(singles).collect()
    }
}
