//! What a transaction publishes under one routing key is one message, within limits.

use std::sync::Arc;

use saga_database::tables::outbox;
use saga_message::{Message, MessageId, Route, framing};
use uuid::Uuid;

use crate::broker::Outgoing;

/// The messages of one transaction, being put together.
#[derive(Debug)]
pub(super) struct Messages {
    max_events: usize,
    /// In the order of their first events. Only the last one of a route is added to.
    messages: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    route: &'static Route,
    /// The id of the first event.
    first: MessageId,
    /// The saga of the events; `None` if there are several.
    saga: Option<Uuid>,
    /// When the first event happened, in microseconds since 1970.
    created_at: i64,
    events: Vec<String>,
    /// The size of the events, in bytes.
    size: usize,
}

impl Messages {
    /// Starts with none. A message will have at most `max_events`.
    pub(super) fn new(max_events: usize) -> Self {
        Self { max_events: max_events.clamp(1, framing::MAX_EVENTS), messages: Vec::new() }
    }

    /// Adds an event to the message of its routing key, or begins another if that is full.
    pub(super) fn add<M: Message>(&mut self, event: &M) {
        let (route, text, saga) = (event.route(), event.encode(), event.correlation_id());
        let max_events = self.max_events;
        // With a comma.
        let size = text.len() + 1;
        let has_room = |open: &&mut Open| open.events.len() < max_events && open.size + size <= framing::MAX_BYTES;
        let last = self.messages.iter_mut().rev().find(|open| open.route == route);
        if let Some(open) = last.filter(has_room) {
            open.saga = open.saga.filter(|other| *other == saga);
            open.size += size;
            open.events.push(text);
            return;
        }
        let header = event.header();
        self.messages.push(Open {
            route,
            first: header.id,
            saga: Some(saga),
            created_at: header.time.unix_micros(),
            events: vec![text],
            // With the other bracket.
            size: size + 1,
        });
    }

    /// Returns each message for the relay, with its outbox row.
    pub(super) fn finish(self) -> Vec<(Outgoing, outbox::Model)> {
        self.messages.into_iter().map(Open::finish).collect()
    }
}

impl Open {
    fn finish(self) -> (Outgoing, outbox::Model) {
        let body = framing::join(&self.events);
        let message_id = match &*self.events {
            [_] => self.first,
            events => framing::batch_id(body.as_bytes(), events[0].as_bytes()),
        };
        let row = outbox::Model {
            message_id: message_id.0,
            routing_key: self.route.routing_key.to_owned(),
            saga_id: self.saga.unwrap_or_default(),
            body: body.clone(),
            created_at: self.created_at,
        };
        let (route, correlation_id, events) = (self.route, self.saga, self.events.len());
        (Outgoing { message_id, route, correlation_id, events, body: Arc::from(body) }, row)
    }
}
