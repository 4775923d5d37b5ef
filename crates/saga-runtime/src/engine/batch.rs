use std::{fmt, sync::Arc};

use saga_database::tables::dead_letter;
use saga_message::{Message, MessageId, SystemId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::{
    Input, Participant, Refusal,
    redrive::{DeadLetterAgain, Discard, Redrive},
};
use crate::{broker::Receipt, identity::SystemIdentity, metrics::InputKind};

/// An item of the mailbox.
#[derive(Debug)]
pub(super) enum Item<P: Participant> {
    Input(Pending<P>),
    /// A delivery that is not to be handled, because it cannot be decoded or the broker has dead-lettered it.
    DeadLetter {
        raw: Raw,
        message: Option<Box<P::Message>>,
        receipt: Receipt,
        reason: String,
    },
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

/// An input, and where it comes from.
#[derive(Debug)]
pub(super) struct Pending<P: Participant> {
    pub(super) input: Input<P>,
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) enum Origin {
    /// A caller. The reply goes through the command's `ReplyTo`; `refuse` is for the case that there is none.
    Caller {
        refuse: oneshot::Sender<Refusal>,
        _permit: OwnedSemaphorePermit,
    },
    Queue {
        raw: Raw,
        receipt: Receipt,
    },
    DeadLetter(Redrive),
    Itself,
}

impl Origin {
    /// Returns the label for the metrics.
    pub(super) fn kind(&self) -> InputKind {
        match self {
            Self::Caller { .. } => InputKind::command,
            Self::Queue { .. } => InputKind::event,
            Self::DeadLetter(_) => InputKind::redriven,
            Self::Itself => InputKind::own,
        }
    }

    /// Returns whether the input may have been handled before.
    fn may_be_handled_already(&self) -> bool {
        match self {
            Self::Queue { raw, .. } => raw.redeliveries > 0,
            Self::DeadLetter(_) => true,
            Self::Caller { .. } | Self::Itself => false,
        }
    }

    /// Returns the id of the dead letter, if the input is a redriven one.
    pub(super) fn dead_letter(&self) -> Option<Uuid> {
        match self {
            Self::DeadLetter(redrive) => Some(redrive.message_id),
            _ => None,
        }
    }
}

/// A delivery as received, for storing it as a dead letter.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) body: Arc<[u8]>,
    pub(super) message_id: Option<String>,
    pub(super) redeliveries: u32,
    pub(super) received_at: Timestamp,
}

/// A delivery that is dead-lettered with the batch, and its receipt.
#[derive(Debug)]
pub(super) struct DeadLettered {
    pub(super) row: dead_letter::Model,
    pub(super) receipt: Receipt,
}

impl<P: Participant> Item<P> {
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

impl<P: Participant> Pending<P> {
    /// Refuses a caller's input with the reason `why`; returns any other input.
    pub(super) fn refuse_caller(self, why: &str) -> Option<Self> {
        match self.origin {
            Origin::Caller { refuse, .. } => {
                let _ = refuse.send(unavailable(why));
                None
            }
            // The dead letter stays as it was.
            Origin::DeadLetter(redrive) => {
                redrive.answer(Err(unavailable(why)));
                None
            }
            origin => Some(Self { origin, ..self }),
        }
    }
}

fn unavailable(why: &str) -> Refusal {
    Refusal::Unavailable(why.to_owned())
}

/// What is committed in one transaction.
#[derive(Debug)]
pub(super) struct Batch<P: Participant> {
    pub(super) inputs: Vec<Pending<P>>,
    pub(super) dead_lettered: Vec<DeadLettered>,
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
            dead_lettered: Vec::new(),
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
                    batch.check_inbox_first |= pending.origin.may_be_handled_already();
                    batch.inputs.push(pending);
                }
                Item::DeadLetter { raw, message, receipt, reason } => {
                    batch.dead_lettered.push(dead_letter(&raw, message.as_deref(), receipt, &reason));
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

    /// Removes the input `index`. An event is dead-lettered, or stays a dead letter, with the rest of the batch; a
    /// caller gets an internal error.
    pub(super) fn dead_letter_input(&mut self, index: usize, reason: String) {
        let Pending { input, origin } = self.inputs.remove(index);
        match origin {
            Origin::Queue { raw, receipt } => {
                self.dead_lettered.push(dead_letter(&raw, input.payload.message(), receipt, &reason))
            }
            Origin::DeadLetter(redrive) => {
                self.dead_lettered_again.push(DeadLetterAgain { redrive, reason: bounded(&reason) })
            }
            Origin::Caller { refuse, .. } => {
                tracing::error!(command = ?input.payload, reason, "a command failed");
                let _ = refuse.send(Refusal::Internal);
            }
            Origin::Itself => {
                tracing::error!(command = ?input.payload, reason, "a command of the service's own failed")
            }
        }
    }

    /// Removes the events that belong to another system than `own`. Those from the queue return to it.
    pub(super) fn give_back_foreign(&mut self, own: SystemId, identity: &SystemIdentity) {
        let inputs = std::mem::take(&mut self.inputs);
        for pending in inputs {
            let Some(theirs) = pending.input.payload.system_id().filter(|theirs| *theirs != own) else {
                self.inputs.push(pending);
                continue;
            };
            let why = format!("it belongs to the system {theirs}, and this service's database to {own}");
            identity.received_foreign(&why);
            if let Origin::DeadLetter(redrive) = pending.origin {
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

    /// Returns whether the batch cannot be divided any further.
    pub(super) fn is_single(&self) -> bool {
        self.inputs.is_empty() || (self.inputs.len() == 1 && self.without_inputs_is_empty())
    }

    fn without_inputs_is_empty(&self) -> bool {
        self.dead_lettered.is_empty()
            && self.dead_lettered_again.is_empty()
            && self.discarded.is_empty()
            && self.confirmed.is_empty()
    }

    /// Divides the batch into one batch for each input, and one for everything else.
    pub(super) fn one_at_a_time(mut self) -> Vec<Self> {
        let inputs = std::mem::take(&mut self.inputs);
        let singles =
            inputs.into_iter().map(|pending| Self { inputs: vec![pending], check_inbox_first: true, ..Self::empty() });
        std::iter::once(self).filter(|batch| !batch.is_empty()).collect::<Vec<_>>().into_iter().chain(singles).collect()
    }
}

/// The maximum length of a stored reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;
/// The maximum length of the broker's message id in a reason, in characters.
const MAX_ID_CHARS: usize = 100;

/// Truncates a reason, which may quote the message, and replaces NUL, which PostgreSQL's text cannot contain.
pub(super) fn bounded(reason: &str) -> String {
    clipped(reason, MAX_REASON_CHARS)
}

fn clipped(text: &str, chars: usize) -> String {
    text.chars().take(chars).map(|char| if char == '\0' { '\u{fffd}' } else { char }).collect()
}

/// Appends the broker's message id to the reason, because the sender's log may contain it.
fn with_message_id(reason: &str, id: &str) -> String {
    with_suffix(reason, &format!("{MESSAGE_ID}{})", clipped(id, MAX_ID_CHARS)))
}

/// Returns why a dead letter still cannot be decoded, with the broker's message id from the previous reason.
pub(super) fn still_unreadable(error: &impl fmt::Display, reason_before: &str) -> String {
    let suffix = reason_before.rfind(MESSAGE_ID).map_or("", |start| &reason_before[start..]);
    with_suffix(&error.to_string(), suffix)
}

const MESSAGE_ID: &str = " (message_id ";

fn with_suffix(reason: &str, suffix: &str) -> String {
    clipped(reason, MAX_REASON_CHARS.saturating_sub(suffix.chars().count())) + suffix
}

fn dead_letter<M: Message>(raw: &Raw, message: Option<&M>, receipt: Receipt, reason: &str) -> DeadLettered {
    let known_id = message.map(|message| message.header().id.0);
    let row = dead_letter::Model {
        // Redeliveries of one body must become one row. Different bodies must become different rows, whatever message
        // id the broker has for them: a sender of undecodable messages may reuse an id.
        message_id: known_id.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, &raw.body)),
        reason: match &raw.message_id {
            Some(id) if message.is_none() => with_message_id(reason, id),
            _ => bounded(reason),
        },
        attempts: i64::from(raw.redeliveries) + 1,
        event: message.map(Message::event_name),
        subject: message.map(Message::subject),
        body: raw.body.to_vec(),
        dead_lettered_at: raw.received_at.unix_micros(),
    };
    tracing::warn!(
        message.id = %row.message_id, event = row.event, subject = row.subject, reason = row.reason,
        "a message cannot be handled and is dead-lettered"
    );
    DeadLettered { row, receipt }
}
