use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use shared_events::MessageId;
use tokio::time::Instant;

use crate::{
    broker::{Outcome, Outgoing, Verdict},
    retry::Pauses,
};

/// The events between "published" and "deleted from the outbox": none of them is to be published a second time by this
/// connection.
pub(super) struct InFlight {
    /// Published, and the routing key.
    unconfirmed: HashMap<MessageId, &'static str>,
    /// Confirmed, to be handed to the engine for deletion.
    confirmed: Vec<MessageId>,
    /// Confirmed, and not yet known to be deleted.
    being_deleted: HashSet<MessageId>,
    /// No queue took them, or the broker refused: they rest before they are tried again.
    resting: HashSet<MessageId>,
    rest_until: Option<Instant>,
    rests: Pauses,
    /// The routing keys that no queue takes.
    unroutable: HashSet<&'static str>,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            unconfirmed: HashMap::new(),
            confirmed: Vec::new(),
            being_deleted: HashSet::new(),
            resting: HashSet::new(),
            rest_until: None,
            rests: Pauses::growing(Duration::from_millis(250), Duration::from_secs(15)),
            unroutable: HashSet::new(),
        }
    }

    /// Events that wait for the broker's word.
    pub(super) fn unconfirmed(&self) -> usize {
        self.unconfirmed.len()
    }

    /// All rows of the outbox that a reader of it has to pass over.
    pub(super) fn len(&self) -> usize {
        self.unconfirmed.len() + self.being_deleted.len() + self.resting.len()
    }

    /// Enters those of `messages` that are not in flight, and returns them.
    pub(super) fn enter(&mut self, mut messages: Vec<Outgoing>) -> Vec<Outgoing> {
        messages.retain(|message| {
            !self.being_deleted.contains(&message.message_id)
                && !self.resting.contains(&message.message_id)
                && self.unconfirmed.insert(message.message_id, message.routing_key).is_none()
        });
        messages
    }

    pub(super) fn learn(&mut self, outcome: &Outcome) {
        let Some(routing_key) = self.unconfirmed.remove(&outcome.message_id) else { return };
        match outcome.verdict {
            Verdict::Confirmed => {
                self.confirmed.push(outcome.message_id);
                self.being_deleted.insert(outcome.message_id);
                if self.unroutable.remove(routing_key) {
                    tracing::info!(routing_key, "a queue takes these events again");
                }
                return;
            }
            Verdict::Unroutable => {
                if self.unroutable.insert(routing_key) {
                    tracing::warn!(
                        routing_key,
                        "no queue takes these events; they stay in the outbox and are tried again"
                    );
                }
            }
            Verdict::Refused => {
                tracing::warn!(message.id = %outcome.message_id, "the broker refused an event; trying again")
            }
        }
        self.resting.insert(outcome.message_id);
        let rests = &mut self.rests;
        self.rest_until.get_or_insert_with(|| Instant::now() + rests.next_pause());
    }

    /// The confirmed events, to be deleted.
    pub(super) fn take_confirmed(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.confirmed)
    }

    pub(super) fn confirmed(&self) -> usize {
        self.confirmed.len()
    }

    pub(super) fn deleted(&mut self, messages: &[MessageId]) {
        for message in messages {
            self.being_deleted.remove(message);
        }
    }

    /// When the resting events are to be tried again.
    pub(super) fn rest_until(&self) -> Option<Instant> {
        self.rest_until
    }

    /// Lets the resting events be read from the outbox again.
    pub(super) fn end_rest(&mut self) {
        self.resting.clear();
        self.rest_until = None;
        if self.unroutable.is_empty() {
            self.rests.reset();
        }
    }

    /// What stands in the way, in words.
    pub(super) fn trouble(&self) -> Result<(), String> {
        if self.unroutable.is_empty() {
            return Ok(());
        }
        let mut keys: Vec<_> = self.unroutable.iter().copied().collect();
        keys.sort_unstable();
        Err(format!("no queue takes {}", keys.join(", ")))
    }
}
