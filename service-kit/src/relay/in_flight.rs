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
    /// Some queue did not take them, or the broker refused: they rest before they are tried again.
    resting: HashSet<MessageId>,
    rest_until: Option<Instant>,
    rests: Pauses,
    /// The routing keys that some consumer's queue does not take, and whether one event of each is on its way to find out.
    unroutable: HashMap<&'static str, bool>,
}

/// The longest rest: how late it may be noticed that a queue takes these events again.
const LONGEST_REST: Duration = Duration::from_secs(3);

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            unconfirmed: HashMap::new(),
            confirmed: Vec::new(),
            being_deleted: HashSet::new(),
            resting: HashSet::new(),
            rest_until: None,
            rests: Pauses::growing(Duration::from_millis(250), LONGEST_REST),
            unroutable: HashMap::new(),
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

    /// Enters those of `messages` that are not in flight, and returns them. Of those that some queue does not take, one is
    /// tried at a time: their other consumers get each of them as often.
    pub(super) fn enter(&mut self, mut messages: Vec<Outgoing>) -> Vec<Outgoing> {
        messages.retain(|&Outgoing { message_id, routing_key, .. }| {
            if self.being_deleted.contains(&message_id)
                || self.resting.contains(&message_id)
                || self.unconfirmed.contains_key(&message_id)
            {
                return false;
            }
            if let Some(tried) = self.unroutable.get_mut(routing_key)
                && std::mem::replace(tried, true)
            {
                self.rest(message_id);
                return false;
            }
            self.unconfirmed.insert(message_id, routing_key);
            true
        });
        messages
    }

    pub(super) fn learn(&mut self, outcome: &Outcome) {
        let Some(routing_key) = self.unconfirmed.remove(&outcome.message_id) else { return };
        match outcome.verdict {
            Verdict::Confirmed => {
                self.confirmed.push(outcome.message_id);
                self.being_deleted.insert(outcome.message_id);
                if self.unroutable.remove(routing_key).is_some() {
                    tracing::info!(routing_key, "the queues of all consumers take these events again");
                    self.rest_until = Some(Instant::now());
                }
                return;
            }
            Verdict::Unroutable => {
                if self.unroutable.insert(routing_key, false).is_none() {
                    tracing::warn!(
                        routing_key,
                        "the queue of a consumer does not take these events; they stay in the outbox and are tried again"
                    );
                }
            }
            Verdict::Refused => {
                tracing::warn!(message.id = %outcome.message_id, "the broker refused an event; trying again");
                self.unroutable.entry(routing_key).and_modify(|tried| *tried = false);
            }
        }
        self.rest(outcome.message_id);
    }

    fn rest(&mut self, message: MessageId) {
        self.resting.insert(message);
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
        let mut keys: Vec<_> = self.unroutable.keys().copied().collect();
        keys.sort_unstable();
        Err(format!("the queue of a consumer does not take {}", keys.join(", ")))
    }
}
