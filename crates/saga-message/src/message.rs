use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{MessageId, SystemId, Timestamp};

/// An event as the runtime handles it, with what identifies it. The user of the runtime provides the type. The broker's
/// messages carry one or more of them; see [`framing`](crate::framing).
pub trait Message: fmt::Debug + Clone + Send + Sync + 'static {
    /// What a participant publishes; the runtime makes a message of it with [`Message::new`].
    type Event: fmt::Debug + Send;
    /// Why a body cannot be decoded. The body is dead-lettered, because trying again would not help.
    type DecodeError: fmt::Display;

    /// Returns a message that carries `event`.
    fn new(header: Header, event: Self::Event) -> Self;

    /// Decodes a body. It must not panic, whatever the bytes are.
    ///
    /// # Errors
    /// If the body is not a message of this type.
    fn decode(body: &[u8]) -> Result<Self, Self::DecodeError>;

    /// Encodes it as a JSON object that [`Message::decode`] can read.
    fn encode(&self) -> String;

    /// Returns the system id that a body contains, even if the rest of it cannot be decoded.
    fn system_of(_body: &[u8]) -> Option<SystemId> {
        None
    }

    /// Returns the event's id and origin.
    fn header(&self) -> &Header;

    /// Returns the route of this kind of event.
    fn route(&self) -> &'static Route;

    /// Returns the id of the saga that the event belongs to.
    fn correlation_id(&self) -> Uuid;

    /// Returns the name of the event for display, such as `OrderCreated`.
    fn event_name(&self) -> String;

    /// Returns what the event is about for display, such as the number of an order.
    fn subject(&self) -> String;
}

/// What identifies an event, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The id of this event. A redelivery keeps it.
    pub id: MessageId,
    /// When the event happened.
    pub time: Timestamp,
    /// The id of the event or the request that caused it.
    pub causation_id: Uuid,
    /// The system that it belongs to. `None` if the event is from a version without system ids, or from a service
    /// that does not know its own system yet.
    pub system_id: Option<SystemId>,
    /// The trace that it belongs to, if there is one (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// Where the messages of one kind go: a row of a system's flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The service that publishes them.
    pub publisher: &'static str,
    /// The routing key that outside listeners bind to; unique in the system.
    pub routing_key: &'static str,
    /// The message type in the envelope, with its version.
    pub message_type: &'static str,
    /// The services that must receive each of these messages. Empty if they are only for outside listeners.
    pub consumers: &'static [&'static str],
    /// Those of the consumers that may handle it some milliseconds later, together with others, because no client waits
    /// for the result.
    pub can_wait_at: &'static [&'static str],
}

/// A service of a system, as the runtime and the brokers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The name of the system, which is the prefix of its metrics.
    pub system: &'static str,
    /// The service's name, which is also the name of its queue.
    pub name: &'static str,
    /// The flow table of the whole system.
    pub routes: &'static [Route],
    /// Whether this service creates the system's id; exactly one service of a system does.
    pub creates_system_id: bool,
}

impl ServiceSpec {
    /// Returns the services that publish messages which this service must receive.
    #[must_use]
    pub fn publishers(&self) -> BTreeSet<&'static str> {
        let inbound = self.routes.iter().filter(|route| route.consumers.contains(&self.name));
        inbound.map(|route| route.publisher).collect()
    }

    /// Returns the services that must receive messages which this service publishes.
    #[must_use]
    pub fn consumers(&self) -> BTreeSet<&'static str> {
        let outbound = self.routes.iter().filter(|route| route.publisher == self.name);
        outbound.flat_map(|route| route.consumers.iter().copied()).collect()
    }

    /// Returns the route of what this service publishes under `routing_key`.
    #[must_use]
    pub fn route(&self, routing_key: &str) -> Option<&'static Route> {
        self.routes.iter().find(|route| route.publisher == self.name && route.routing_key == routing_key)
    }
}
