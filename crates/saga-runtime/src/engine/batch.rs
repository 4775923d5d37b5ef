use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use saga_database::tables::dead_letter;
use saga_message::{Message, MessageId, SystemId, Timestamp, framing};
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

/// Inputs that are committed together or not at all, and where they come from: one command, or the events of one
/// message.
#[derive(Debug)]
pub(super) struct Pending<P: Participant> {
    pub(super) inputs: Vec<Input<P>>,
    /// The events of the message that cannot be handled. They are dead-lettered in the same transaction.
    pub(super) dead_lettered: Vec<dead_letter::Model>,
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
        raw: Arc<Raw>,
        /// The key in the inbox of a message with several events. An event alone is its own key.
        batch_id: Option<MessageId>,
        receipt: Arc<SharedReceipt>,
    },
    DeadLetter {
        redrive: Redrive,
        /// As for a message from the queue: an earlier version may have dead-lettered a message with several events.
        raw: Arc<Raw>,
        batch_id: Option<MessageId>,
    },
    Itself,
}

impl Origin {
    /// Returns the label for the metrics.
    pub(super) fn kind(&self) -> InputKind {
        match self {
            Self::Caller { .. } => InputKind::command,
            Self::Queue { .. } => InputKind::event,
            Self::DeadLetter { .. } => InputKind::redriven,
            Self::Itself => InputKind::own,
        }
    }

    /// Returns the id of the dead letter, if the inputs are a redriven one.
    pub(super) fn dead_letter(&self) -> Option<Uuid> {
        match self {
            Self::DeadLetter { redrive, .. } => Some(redrive.message_id),
            _ => None,
        }
    }
}

/// The receipt of a message whose events may be committed one by one: it is acknowledged with the last of them. If one
/// of them is dropped without that, the message returns to the queue.
#[derive(Debug)]
pub(super) struct SharedReceipt {
    receipt: Mutex<Option<Receipt>>,
    /// How many parts are not committed.
    open: AtomicUsize,
}

impl SharedReceipt {
    pub(super) fn new(receipt: Receipt) -> Arc<Self> {
        Arc::new(Self { receipt: Mutex::new(Some(receipt)), open: AtomicUsize::new(1) })
    }

    /// Acknowledges one part, and returns whether it was the last one.
    pub(super) fn acknowledge(&self) -> bool {
        let was_last = self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last {
            let receipt = self.receipt.lock().unwrap_or_else(PoisonError::into_inner).take();
            receipt.into_iter().for_each(Receipt::acknowledge);
        }
        was_last
    }
}

/// A message as received, for storing what cannot be handled as a dead letter.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) body: Arc<[u8]>,
    pub(super) message_id: Option<String>,
    pub(super) redeliveries: u32,
    pub(super) received_at: Timestamp,
}

impl<P: Participant> Item<P> {
    /// Returns for how many inputs it counts.
    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Input(pending) => pending.events(),
            Self::DeadLetterAgain(_) | Self::Discard(_) | Self::Confirmed { .. } => 1,
        }
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

impl<P: Participant> Pending<P> {
    /// Returns one command.
    pub(super) fn command(input: Input<P>, origin: Origin) -> Self {
        Self { inputs: vec![input], dead_lettered: Vec::new(), origin }
    }

    /// Returns how many inputs it is, with those that are dead-lettered.
    pub(super) fn events(&self) -> usize {
        self.inputs.len() + self.dead_lettered.len()
    }

    /// Divides a message from the queue into its events, each of which then has its own key in the inbox.
    pub(super) fn one_by_one(self) -> Vec<Self> {
        let Origin::Queue { raw, receipt, .. } = &self.origin else { return vec![self] };
        let part = |inputs, dead_lettered| {
            receipt.open.fetch_add(1, Ordering::AcqRel);
            let (raw, receipt) = (Arc::clone(raw), Arc::clone(receipt));
            Self { inputs, dead_lettered, origin: Origin::Queue { raw, batch_id: None, receipt } }
        };
        let inputs = self.inputs.into_iter().map(|input| part(vec![input], Vec::new()));
        let dead_lettered = self.dead_lettered.into_iter().map(|row| part(Vec::new(), vec![row]));
        let parts = inputs.chain(dead_lettered).collect();
        // The whole message was one part itself.
        receipt.open.fetch_sub(1, Ordering::AcqRel);
        parts
    }

    /// Returns the key of the message in the inbox. `None` for a command, and for a message whose only event is
    /// dead-lettered: it is handled when that is redriven.
    pub(super) fn inbox_id(&self) -> Option<MessageId> {
        let (Origin::Queue { batch_id, .. } | Origin::DeadLetter { batch_id, .. }) = &self.origin else { return None };
        batch_id.or_else(|| Some(self.inputs.first()?.payload.message()?.header().id))
    }

    /// Returns when the message was received. `None` for a command.
    pub(super) fn received_at(&self) -> Option<Timestamp> {
        let (Origin::Queue { raw, .. } | Origin::DeadLetter { raw, .. }) = &self.origin else { return None };
        Some(self.inputs.first().map_or(raw.received_at, |input| input.at))
    }

    /// Returns whether the message may have been handled before.
    fn may_be_handled_already(&self) -> bool {
        match &self.origin {
            // The events of a message that the broker has dead-lettered may have been handled by then.
            Origin::Queue { raw, .. } => raw.redeliveries > 0 || self.inputs.is_empty(),
            Origin::DeadLetter { .. } => true,
            Origin::Caller { .. } | Origin::Itself => false,
        }
    }

    /// Returns the system that the message belongs to, if it is a message and contains it. All of its events come from
    /// one transaction.
    pub(super) fn system_id(&self) -> Option<SystemId> {
        self.inputs.iter().find_map(|input| input.payload.system_id())
    }

    /// Removes the event `position`, to be dead-lettered with the rest of the message.
    fn dead_letter(&mut self, position: usize, reason: &str) {
        let Input { payload, span, .. } = self.inputs.remove(position);
        span.into_iter().for_each(|span| span.fail("dead_lettered", reason));
        let (Origin::Queue { raw, .. } | Origin::DeadLetter { raw, .. }) = &self.origin else { return };
        let Some(message) = payload.message() else { return };
        let id = message.header().id;
        let events = framing::split(&raw.body).unwrap_or_default();
        let is_it = |event: &&[u8]| P::Message::decode(event).is_ok_and(|other| other.header().id == id);
        let body = events.into_iter().find(is_it).unwrap_or(&raw.body);
        self.dead_lettered.push(dead_letter(raw, body, Some(message), reason));
    }

    /// Refuses a caller's input with the reason `why`; returns any other input.
    pub(super) fn refuse_caller(self, why: &str) -> Option<Self> {
        match self.origin {
            Origin::Caller { refuse, .. } => {
                let _ = refuse.send(unavailable(why));
                None
            }
            // The dead letter stays as it was.
            Origin::DeadLetter { redrive, .. } => {
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

/// Returns the dead letter of an event, or of a message that cannot be taken apart into its events.
pub(super) fn dead_letter<M: Message>(raw: &Raw, body: &[u8], message: Option<&M>, reason: &str) -> dead_letter::Model {
    let known_id = message.map(|message| message.header().id.0);
    let row = dead_letter::Model {
        // Redeliveries of one body must become one row. Different bodies must become different rows, whatever message
        // id the broker has for them: a sender of undecodable messages may reuse an id.
        message_id: known_id.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, body)),
        reason: match &raw.message_id {
            Some(id) if message.is_none() => with_message_id(reason, id),
            _ => bounded(reason),
        },
        attempts: i64::from(raw.redeliveries) + 1,
        event: message.map(Message::event_name),
        subject: message.map(Message::subject),
        body: body.to_vec(),
        dead_lettered_at: raw.received_at.unix_micros(),
    };
    tracing::warn!(
        message.id = %row.message_id, event = row.event, subject = row.subject, reason = row.reason,
        "an event cannot be handled and is dead-lettered"
    );
    row
}
