use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use saga_database::tables::dead_letter;
use saga_message::{Message, MessageId, SystemId, Timestamp, framing};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::{Input, Participant, Refusal, dead_letter::dead_letter, redrive::Redrive};
use crate::{broker::Receipt, metrics::InputKind};

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

impl<P: Participant> Pending<P> {
    /// Returns one command.
    pub(super) fn command(input: Input<P>, origin: Origin) -> Self {
        Self { inputs: vec![input], dead_lettered: Vec::new(), origin }
    }

    /// Returns how many inputs it is, with those that are dead-lettered.
    pub(super) fn events(&self) -> usize {
        self.inputs.len() + self.dead_lettered.len()
    }

    /// Returns whether it is a message from the queue that can wait at this service. The events of one message have one
    /// route.
    pub(super) fn can_wait_at(&self, service: &str) -> bool {
        let message = self.inputs.first().and_then(|input| input.payload.message());
        matches!(self.origin, Origin::Queue { .. })
            && message.is_some_and(|message| message.route().can_wait_at.contains(&service))
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
    pub(super) fn may_be_handled_already(&self) -> bool {
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
    pub(super) fn dead_letter(&mut self, position: usize, reason: &str) {
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

pub(super) fn unavailable(why: &str) -> Refusal {
    Refusal::Unavailable(why.to_owned())
}
