use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use saga_message::MessageId;
use saga_support::{Backoff, LogLimit};
use tokio::time::Instant;

use crate::{
    broker::{Outcome, Outgoing, PublishResult},
    trace::OpenSpan,
};

/// The messages that are published over the current connection, and not yet known to be deleted from the outbox.
pub(super) struct InFlight {
    /// Published and not yet confirmed.
    unconfirmed: HashMap<MessageId, Unconfirmed>,
    /// The size of their bodies.
    unconfirmed_bytes: usize,
    /// Confirmed, to be handed to the engine for deletion.
    confirmed: Vec<MessageId>,
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

struct Unconfirmed {
    routing_key: &'static str,
    /// The size of the body.
    bytes: usize,
    /// The span of publishing it.
    span: Option<OpenSpan>,
}

/// How much may be published and not yet confirmed: messages, and bytes of their bodies.
const WINDOW: (usize, usize) = (4_096, 16 << 20);
/// The longest pause before events are published again, randomised by up to half. Sagas wait for a restored binding,
/// and only one event of each kind is tried meanwhile.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            unconfirmed: HashMap::new(),
            unconfirmed_bytes: 0,
            confirmed: Vec::new(),
            delayed: BTreeMap::new(),
            retry_at: None,
            retry_backoff: Backoff::growing(Duration::from_millis(250), MAX_RETRY_DELAY),
            refusals: LogLimit::new(Duration::from_secs(1)),
            unroutable: BTreeMap::new(),
        }
    }

    /// Returns how many more messages, and bytes of their bodies, may be published.
    pub(super) fn room(&self) -> (usize, usize) {
        let (messages, bytes) = WINDOW;
        (messages.saturating_sub(self.unconfirmed.len()), bytes.saturating_sub(self.unconfirmed_bytes))
    }

    /// Adds a message that is about to be published.
    pub(super) fn enter(&mut self, message: &Outgoing, span: Option<OpenSpan>) {
        let (routing_key, bytes) = (message.route.routing_key, message.body.len());
        self.unconfirmed.insert(message.message_id, Unconfirmed { routing_key, bytes, span });
        self.unconfirmed_bytes += bytes;
    }

    pub(super) fn record(&mut self, outcome: &Outcome) {
        let Some(unconfirmed) = self.unconfirmed.remove(&outcome.message_id) else { return };
        let Unconfirmed { routing_key, bytes, span } = unconfirmed;
        self.unconfirmed_bytes -= bytes;
        if let Some(span) = span {
            match &outcome.result {
                PublishResult::Confirmed => span.end(),
                PublishResult::Unroutable(_) => span.fail("unroutable", "no queue takes it for some consumer"),
                PublishResult::Refused => span.fail("refused", "the broker did not accept it"),
            }
        }
        match &outcome.result {
            PublishResult::Confirmed => {
                self.confirmed.push(outcome.message_id);
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

    /// Returns when the delayed events are to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Takes the delayed messages that are to be published again. For a routing key whose messages lack a consumer's
    /// queue, that is only the oldest one: while it is not accepted the others would not be either, and the consumers
    /// whose queues are bound would receive each of them again and again.
    pub(super) fn end_delay(&mut self) -> Vec<MessageId> {
        let mut oldest = HashSet::new();
        let unroutable = &self.unroutable;
        let again = |_: &MessageId, key: &mut &'static str| !unroutable.contains_key(key) || oldest.insert(*key);
        let messages = self.delayed.extract_if(.., again).map(|(message, _)| message).collect();
        if self.unroutable.is_empty() {
            self.retry_backoff.reset();
        }
        self.retry_at = (!self.delayed.is_empty()).then(|| Instant::now() + self.retry_backoff.next_pause());
        messages
    }

    /// Takes the messages that are not confirmed, because the connection was lost.
    pub(super) fn connection_lost(&mut self) -> Vec<MessageId> {
        let confirmed = std::mem::take(&mut self.confirmed);
        let lost = std::mem::replace(self, Self { confirmed, ..Self::new() });
        let mut messages: Vec<_> = lost.unconfirmed.into_keys().chain(lost.delayed.into_keys()).collect();
        messages.sort_unstable();
        messages
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
