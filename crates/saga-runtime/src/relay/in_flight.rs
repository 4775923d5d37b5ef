use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use saga_message::MessageId;
use saga_support::{Backoff, LogLimit};
use tokio::time::Instant;

use crate::broker::{Outcome, Outgoing, PublishResult};

/// The events between "published" and "deleted from the outbox": none of them is to be published a second time by this
/// connection.
pub(super) struct InFlight {
    /// Published, and the routing key.
    unconfirmed: HashMap<MessageId, &'static str>,
    /// Confirmed, to be handed to the engine for deletion.
    confirmed: Vec<MessageId>,
    /// Confirmed, and not yet known to be deleted.
    being_deleted: HashSet<MessageId>,
    /// Some consumer's queue did not take them, or the broker refused: they rest before they are tried again. And their
    /// routing keys.
    resting: BTreeMap<MessageId, &'static str>,
    rest_until: Option<Instant>,
    rests: Backoff,
    /// A queue that is full or dead refuses thousands a second.
    refusals: LogLimit,
    /// The routing keys of events that did not come to every consumer, with the consumers whose queues are not bound.
    unroutable: BTreeMap<&'static str, Vec<String>>,
}

/// The longest rest, give or take a half. Orders wait for a binding that is back, and one event of each kind is all
/// that is tried meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(2);

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            unconfirmed: HashMap::new(),
            confirmed: Vec::new(),
            being_deleted: HashSet::new(),
            resting: BTreeMap::new(),
            rest_until: None,
            rests: Backoff::growing(Duration::from_millis(250), LONGEST_REST),
            refusals: LogLimit::new(Duration::from_secs(1)),
            unroutable: BTreeMap::new(),
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
                && !self.resting.contains_key(&message.message_id)
                && self.unconfirmed.insert(message.message_id, message.route.routing_key).is_none()
        });
        messages
    }

    pub(super) fn learn(&mut self, outcome: &Outcome) {
        let Some(routing_key) = self.unconfirmed.remove(&outcome.message_id) else { return };
        match &outcome.result {
            PublishResult::Confirmed => {
                self.confirmed.push(outcome.message_id);
                self.being_deleted.insert(outcome.message_id);
                if self.unroutable.remove(routing_key).is_some() {
                    tracing::info!(routing_key, "the queue of every consumer takes these events again");
                    // The rest of them need not wait any longer.
                    self.rest_until = Some(Instant::now());
                }
                return;
            }
            PublishResult::Unroutable(consumers) => {
                let before = self.unroutable.insert(routing_key, consumers.clone());
                if before.as_ref() != Some(consumers) {
                    let consumers = consumers.join(", ");
                    tracing::warn!(
                        routing_key,
                        consumers,
                        "no queue takes these events for these consumers; they stay in the outbox and are tried again"
                    );
                }
            }
            PublishResult::Refused => {
                if let Some(not_logged_before) = self.refusals.admit() {
                    let message_id = outcome.message_id;
                    tracing::warn!(message.id = %message_id, not_logged_before, "the broker refused an event; trying again");
                }
            }
        }
        self.resting.insert(outcome.message_id, routing_key);
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

    /// Lets the resting events be read from the outbox again; but of those that some queue is missing for, only the
    /// oldest of each routing key. While it is not taken the others would not be either, and whoever has a queue would
    /// get each of them again and again.
    pub(super) fn end_rest(&mut self) {
        let mut tried = HashSet::new();
        self.resting.retain(|_, key| self.unroutable.contains_key(key) && !tried.insert(*key));
        if self.unroutable.is_empty() {
            self.rests.reset();
        }
        self.rest_until = (!self.resting.is_empty()).then(|| Instant::now() + self.rests.next_pause());
    }

    /// What stands in the way, in words.
    pub(super) fn failure(&self) -> Result<(), String> {
        if self.unroutable.is_empty() {
            return Ok(());
        }
        let consumers: BTreeSet<&str> = self.unroutable.values().flatten().map(String::as_str).collect();
        let consumers: Vec<&str> = consumers.into_iter().collect();
        Err(format!("no queue takes events for {}", consumers.join(", ")))
    }
}
