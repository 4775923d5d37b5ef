//! The spans of events and messages, named by the semantic conventions for messaging
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>).

use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use opentelemetry::{
    KeyValue, StringValue,
    global::BoxedSpan,
    trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status},
};
use saga_message::{Message, Route, ServiceSpec};
use uuid::Uuid;

use super::{ROLLED_BACK, Tracing, span_context, traceparent};
use crate::broker::{Broker, Outgoing};

/// Starts the spans of one service's events and messages: of those whose cause is sampled, and of those without one.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageSpans {
    tracing: Tracing,
    /// The messaging system.
    system: &'static str,
    /// What messages are published to, by routing key. Empty without a tracer.
    destinations: Arc<HashMap<&'static str, StringValue>>,
    /// The queue that the service consumes.
    queue: &'static str,
}

impl MessageSpans {
    pub(crate) fn new(tracing: Tracing, broker: &dyn Broker, service: &ServiceSpec) -> Self {
        if !tracing.is_on() {
            return Self::default();
        }
        let destination = |route: &Route| (route.routing_key, Arc::<str>::from(broker.destination(route)).into());
        Self {
            tracing,
            system: broker.messaging_system(),
            destinations: Arc::new(service.routes.iter().map(destination).collect()),
            queue: service.name,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.tracing.is_on()
    }

    /// Starts the span of an event that is being decided, whose cause has this `traceparent`. Its context is what the
    /// event is published with.
    pub(crate) fn create(&self, cause: Option<&str>) -> Option<BoxedSpan> {
        if !self.is_on() || is_left_out(cause) {
            return None;
        }
        self.tracing.start(SpanBuilder::from_name("create").with_kind(SpanKind::Producer), cause)
    }

    /// Names a `create` span after its event. It must be ended after the commit.
    pub(crate) fn created<M: Message>(&self, span: Option<BoxedSpan>, event: &M) -> Option<OpenSpan> {
        let mut span = span.filter(BoxedSpan::is_recording)?;
        let destination = self.destination(event.route());
        span.update_name(format!("create {destination}"));
        span.set_attributes(self.attributes("create", destination).chain(of_event(event)));
        Some(OpenSpan::new(span, |span| span.set_attribute(KeyValue::new(ROLLED_BACK, true))))
    }

    /// Starts the span of handling an event. Its parent is the event's `create` span. It must be ended after the
    /// commit.
    pub(crate) fn process<M: Message>(&self, event: &M) -> Option<BoxedSpan> {
        let cause = event.header().traceparent.as_deref();
        if !self.is_on() || is_left_out(cause) {
            return None;
        }
        let destination = format!("{}:{}", self.destination(event.route()), self.queue);
        let span = SpanBuilder::from_name(format!("process {destination}"))
            .with_kind(SpanKind::Consumer)
            .with_attributes(self.attributes("process", destination.into()).chain(of_event(event)));
        self.tracing.start(span, cause)
    }

    /// Starts the span of publishing a message whose events have these `traceparent`s. It is linked to their `create`
    /// spans, and is in the trace of the first of them that is sampled.
    pub(crate) fn send(&self, message: &Outgoing, events: impl FnOnce(&[u8]) -> Vec<String>) -> Option<OpenSpan> {
        let body = message.body.as_bytes();
        if !self.is_on() || !has_sampled(body) {
            return None;
        }
        let (parent, links) = links(events(body).iter().map(String::as_str))?;
        let destination = self.destination(message.route);
        let mut attributes: Vec<_> = self.attributes("send", destination.clone()).collect();
        attributes.push(message_id(message.message_id.0));
        attributes.push(KeyValue::new("messaging.message.body.size", size(message.body.len())));
        attributes.extend(message.correlation_id.map(conversation_id));
        if message.events > 1 {
            attributes.push(KeyValue::new("messaging.batch.message_count", size(message.events)));
        }
        let span = SpanBuilder::from_name(format!("send {destination}"))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .with_links(links);
        let span = self.tracing.start(span, Some(&parent)).filter(BoxedSpan::is_recording)?;
        Some(OpenSpan::new(span, |span| failed(span, "connection_lost", "the connection to the broker was lost")))
    }

    /// Records the span of a transaction that began at `begun` and is committed. `causes` are the `traceparent`s of its
    /// inputs: the `process` span of an event, the span of a request. It is linked to them, and is in the trace of the
    /// first of them that is sampled. `events` counts those of them that are events.
    pub(crate) fn commit<'a>(
        &self,
        begun: SystemTime,
        events: impl FnOnce() -> usize,
        causes: impl Iterator<Item = &'a str>,
    ) {
        if !self.is_on() {
            return;
        }
        let Some((parent, links)) = links(causes) else { return };
        let span = SpanBuilder::from_name("commit")
            .with_kind(SpanKind::Internal)
            .with_start_time(begun)
            .with_attributes([KeyValue::new("messaging.batch.message_count", size(events()))])
            .with_links(links);
        drop(self.tracing.start(span, Some(&parent)));
    }

    fn destination(&self, route: &Route) -> StringValue {
        self.destinations.get(route.routing_key).cloned().unwrap_or_else(|| route.routing_key.into())
    }

    fn attributes(&self, operation: &'static str, destination: StringValue) -> impl Iterator<Item = KeyValue> + use<> {
        [
            KeyValue::new("messaging.system", self.system),
            KeyValue::new("messaging.destination.name", destination),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", operation),
        ]
        .into_iter()
    }
}

/// Returns whether the cause belongs to a trace that is not recorded, as at a small sampling ratio nearly all do. No
/// span is started for it then, and what it causes keeps its `traceparent`.
fn is_left_out(cause: Option<&str>) -> bool {
    cause.and_then(span_context).is_some_and(|context| !context.is_sampled())
}

/// Returns whether a body can have the `traceparent` of an event that is sampled, without decoding it.
fn has_sampled(body: &[u8]) -> bool {
    const END_OF_SAMPLED: &[u8] = b"-01\"";
    body.windows(END_OF_SAMPLED.len()).any(|end| end == END_OF_SAMPLED)
}

fn of_event<M: Message>(event: &M) -> [KeyValue; 2] {
    [message_id(event.header().id.0), conversation_id(event.correlation_id())]
}

fn message_id(id: Uuid) -> KeyValue {
    KeyValue::new("messaging.message.id", id.to_string())
}

fn conversation_id(saga: Uuid) -> KeyValue {
    KeyValue::new("messaging.message.conversation_id", saga.to_string())
}

fn size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn failed(span: &mut BoxedSpan, kind: &'static str, description: impl Into<String>) {
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(description.into()));
}

/// Returns links to those of these contexts that are sampled, and the first of them as the parent; `None` if there is
/// none.
fn links<'a>(traceparents: impl Iterator<Item = &'a str>) -> Option<(String, Vec<Link>)> {
    let sampled = traceparents.filter_map(span_context).filter(SpanContext::is_sampled);
    let links: Vec<Link> = sampled.map(Link::with_context).collect();
    Some((traceparent(&links.first()?.span_context), links))
}

/// A recorded span, and what marks it if it is dropped before its end is known.
pub(crate) struct OpenSpan {
    span: Option<BoxedSpan>,
    abandon: fn(&mut BoxedSpan),
}

impl OpenSpan {
    fn new(span: BoxedSpan, abandon: fn(&mut BoxedSpan)) -> Self {
        Self { span: Some(span), abandon }
    }

    /// Keeps the span of handling an event, if it is recorded.
    pub(crate) fn of_process(span: BoxedSpan) -> Option<Self> {
        let abandon =
            |span: &mut BoxedSpan| failed(span, "not_committed", "it was not committed, and is delivered again");
        span.is_recording().then(|| Self::new(span, abandon))
    }

    /// Ends it.
    pub(crate) fn end(mut self) {
        drop(self.span.take());
    }

    /// Ends it, and marks it as the span of an event that was handled before.
    pub(crate) fn end_as_duplicate(mut self) {
        if let Some(mut span) = self.span.take() {
            span.set_attribute(KeyValue::new("saga.duplicate", true));
        }
    }

    /// Ends it with an error.
    pub(crate) fn fail(mut self, kind: &'static str, description: &str) {
        if let Some(mut span) = self.span.take() {
            failed(&mut span, kind, description);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            (self.abandon)(&mut span);
        }
    }
}

impl fmt::Debug for OpenSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSpan").finish_non_exhaustive()
    }
}
