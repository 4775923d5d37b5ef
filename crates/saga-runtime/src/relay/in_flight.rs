use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use saga_message::MessageId;
use saga_support::{Backoff, LogLimit};
use tokio::time::Instant;

use crate::broker::{Outcome, Outgoing, PublishResult};

/// The events that are published and not yet deleted from the outbox. None of them is published a second time over the
/// same connection, unless the broker did not accept it.
pub(super) struct InFlight {
    /// Published and not yet confirmed, with their routing keys.
    unconfirmed: HashMap<MessageId, &'static str>,
    /// Confirmed, to be handed to the engine for deletion.
    confirmed: Vec<MessageId>,
    /// Confirmed, and not yet known to be deleted.
    being_deleted: HashSet<MessageId>,
    /// Not accepted by some consumer's queue or refused by the broker, with their routing keys. They are published
    /// again after a pause.
    delayed: BTreeMap<MessageId, &'static str>,
    retry_at: Option<Instant>,
    retry_backoff: Backoff,
    /// Limits the log lines about refusals: a full or dead queue refuses thousands of messages a second.
    refusals: LogLimit,
    /// The routing keys of events that did not reach every consumer, with the consumers whose queues are not bound.
    unroutable: BTreeMap<&'static str, Vec<String>>,
}

/// The longest pause before events are published again, randomised by up to half. Sagas wait for a restored binding,
/// and only one event of each kind is tried meanwhile.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            unconfirmed: HashMap::new(),
            confirmed: Vec::new(),
            being_deleted: HashSet::new(),
            delayed: BTreeMap::new(),
            retry_at: None,
            retry_backoff: Backoff::growing(Duration::from_millis(250), MAX_RETRY_DELAY),
            refusals: LogLimit::new(Duration::from_secs(1)),
            unroutable: BTreeMap::new(),
        }
    }

    /// Returns how many events wait for the broker's confirmation.
    pub(super) fn unconfirmed(&self) -> usize {
        self.unconfirmed.len()
    }

    /// Returns how many rows of the outbox a reader has to skip.
    pub(super) fn len(&self) -> usize {
        self.unconfirmed.len() + self.being_deleted.len() + self.delayed.len()
    }

    /// Adds those of `messages` that are not in flight, and returns them.
    pub(super) fn enter(&mut self, mut messages: Vec<Outgoing>) -> Vec<Outgoing> {
        messages.retain(|message| {
            !self.being_deleted.contains(&message.message_id)
                && !self.delayed.contains_key(&message.message_id)
                && self.unconfirmed.insert(message.message_id, message.route.routing_key).is_none()
        });
        messages
    }

    pub(super) fn record(&mut self, outcome: &Outcome) {
        let Some(routing_key) = self.unconfirmed.remove(&outcome.message_id) else { return };
        match &outcome.result {
            PublishResult::Confirmed => {
                self.confirmed.push(outcome.message_id);
                self.being_deleted.insert(outcome.message_id);
                if self.unroutable.remove(routing_key).is_some() {
                    tracing::info!(routing_key, "the queue of every consumer takes these events again");
                    // The remaining events need not wait any longer.
                    self.retry_at = Some(Instant::now());
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
                    tracing::warn!(
                        message.id = %outcome.message_id, not_logged_before,
                        "the broker refused an event; trying again"
                    );
                }
            }
        }
        self.delayed.insert(outcome.message_id, routing_key);
        let retry_backoff = &mut self.retry_backoff;
        self.retry_at.get_or_insert_with(|| Instant::now() + retry_backoff.next_pause());
    }

    /// Takes the confirmed events, which are to be deleted.
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

    /// Returns when the delayed events are to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Lets the delayed events be read from the outbox again. For a routing key whose events lack a consumer's queue,
    /// only the oldest one is tried: while it is not accepted the others would not be either, and the consumers whose
    /// queues are bound would receive each of them again and again.
    pub(super) fn end_delay(&mut self) {
        let mut oldest = HashSet::new();
        self.delayed.retain(|_, key| self.unroutable.contains_key(key) && !oldest.insert(*key));
        if self.unroutable.is_empty() {
            self.retry_backoff.reset();
        }
        self.retry_at = (!self.delayed.is_empty()).then(|| Instant::now() + self.retry_backoff.next_pause());
    }

    /// Returns an error that names the consumers whose queues are not bound.
    pub(super) fn failure(&self) -> Result<(), String> {
        if self.unroutable.is_empty() {
            return Ok(());
        }
        let consumers: BTreeSet<&str> = self.unroutable.values().flatten().map(String::as_str).collect();
        let consumers: Vec<&str> = consumers.into_iter().collect();
        Err(format!("no queue takes events for {}", consumers.join(", ")))
    }
}
