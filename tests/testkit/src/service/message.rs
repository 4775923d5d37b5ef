use saga_database::Clock;
use saga_runtime::broker::Outgoing;
use shared_events::{Envelope, Event, EventBody, Header, MessageId};
use uuid::Uuid;

/// Creates a message with this event.
#[must_use]
pub fn new_message(event: Event) -> Envelope {
    message(event, Uuid::now_v7())
}

/// Creates a message about the same order as `cause`, and caused by it.
#[must_use]
pub fn caused_by(cause: &Envelope, body: EventBody) -> Envelope {
    message(Event { body, ..cause.event.clone() }, cause.header.id.0)
}

fn message(event: Event, causation_id: Uuid) -> Envelope {
    let (id, time) = (MessageId(Uuid::now_v7()), Clock::default().now());
    Envelope { header: Header { id, time, causation_id, system_id: None, traceparent: None }, event }
}

/// Returns the message as its service publishes it.
#[must_use]
pub fn outgoing(envelope: &Envelope) -> Outgoing {
    Outgoing {
        message_id: envelope.header.id,
        route: envelope.event.body.event_type().flow().route,
        correlation_id: Some(envelope.event.saga_id.0),
        events: 1,
        body: envelope.encode().into(),
    }
}
