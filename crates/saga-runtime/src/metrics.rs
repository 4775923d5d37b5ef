//! The engine's Prometheus metrics.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::broker::Outgoing;

/// The engine's counters and histograms. Clones share them.
#[derive(Debug, Clone)]
pub struct EngineMetrics {
    inputs: Family<Input, Counter>,
    messages: Counter,
    events: Family<EventLabel, Counter>,
    batch_inputs: Histogram,
    commit_duration: Histogram,
    dead_lettered: Counter,
    put_aside: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Input {
    kind: InputKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    /// The routing key of the event.
    event: &'static str,
}

/// Where an input came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the values of the label")]
pub(crate) enum InputKind {
    /// A caller.
    command,
    /// The broker.
    event,
    /// An operator, who redrives a dead letter.
    redriven,
    /// The clock, or the service itself.
    own,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            inputs: Family::default(),
            messages: Counter::default(),
            events: Family::default(),
            batch_inputs: Histogram::new([1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024.]),
            commit_duration: Histogram::new([
                0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 10.,
            ]),
            dead_lettered: Counter::default(),
            put_aside: Gauge::default(),
        }
    }
}

impl EngineMetrics {
    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("inputs", "Committed inputs, including duplicates", self.inputs.clone());
        let help = "Committed messages from the broker, including duplicates; each carries one event or several";
        registry.register("messages", help, self.messages.clone());
        let help = "Events that were committed to be published, by routing key";
        registry.register("events", help, self.events.clone());
        registry.register("batch_inputs", "Inputs in one transaction", self.batch_inputs.clone());
        let help = "Duration of a committed transaction, from its beginning";
        registry.register_with_unit("commit_duration", help, Unit::Seconds, self.commit_duration.clone());
        let help = "Events that became dead letters because they cannot be handled";
        registry.register("messages_dead_lettered", help, self.dead_lettered.clone());
        let help = "Messages that wait because another session keeps rows locked";
        registry.register("inputs_put_aside", help, self.put_aside.clone());
    }

    /// Sets how many inputs wait for locked rows.
    pub(crate) fn put_aside(&self, inputs: usize) {
        self.put_aside.set(i64::try_from(inputs).unwrap_or(i64::MAX));
    }

    /// Records that all events of a message are committed.
    pub(crate) fn message_committed(&self) {
        self.messages.inc();
    }

    /// Counts the events of the messages that a committed transaction publishes.
    pub(crate) fn to_be_published(&self, messages: &[Outgoing]) {
        for message in messages {
            let label = EventLabel { event: message.route.routing_key };
            self.events.get_or_create(&label).inc_by(message.events as u64);
        }
    }

    /// Records a committed transaction with these commands and messages; the number is that of their inputs.
    pub(crate) fn committed(
        &self,
        received: impl Iterator<Item = (InputKind, usize)>,
        dead_lettered: usize,
        duration: Duration,
    ) {
        let mut count = 0_u64;
        for (kind, inputs) in received {
            let inputs = inputs as u64;
            self.inputs.get_or_create(&Input { kind }).inc_by(inputs);
            count += inputs;
        }
        if count > 0 {
            self.batch_inputs.observe(count as f64);
        }
        self.commit_duration.observe(duration.as_secs_f64());
        self.dead_lettered.inc_by(dead_lettered as u64);
    }
}
