use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{MessageId, SystemId, Timestamp};

/// A message as the runtime handles it: an event, and what identifies it. The user of the runtime gives the type.
pub trait Message: fmt::Debug + Clone + Send + Sync + 'static {
    /// What a participant publishes; the runtime makes a message of it with [`Message::new`].
    type Event: fmt::Debug + Send;
    /// Why a body is no message. Trying again does not help: it goes to the dead letters.
    type DecodeError: fmt::Display;

    /// The message that carries `event`.
    fn new(header: Header, event: Self::Event) -> Self;

    /// Reads a body. It must not panic, whatever the bytes are.
    ///
    /// # Errors
    /// If the body is not a message of this type.
    fn decode(body: &[u8]) -> Result<Self, Self::DecodeError>;

    /// The body, which [`Message::decode`] reads.
    fn encode(&self) -> String;

    /// The system that a body says it belongs to, also if the rest of it cannot be decoded.
    fn system_of(_body: &[u8]) -> Option<SystemId> {
        None
    }

    /// Its identity and origin.
    fn header(&self) -> &Header;

    /// Where messages of this kind go.
    fn route(&self) -> &'static Route;

    /// The saga that it belongs to.
    fn correlation_id(&self) -> Uuid;

    /// The name of the event, for people, such as `OrderCreated`.
    fn event_name(&self) -> String;

    /// What it is about, for people, such as the number of an order.
    fn subject(&self) -> String;
}

/// What identifies a message and says where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The id of this message; a redelivery keeps it, and the inbox is keyed by it.
    pub id: MessageId,
    /// When the event happened.
    pub time: Timestamp,
    /// The id of the message or the request that caused it.
    pub causation_id: Uuid,
    /// The system that it belongs to. `None`: made before systems had ids, or by a service that does not know its own yet.
    pub system_id: Option<SystemId>,
    /// The trace that it belongs to, if there is one (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// Where the messages of one kind go: a row of a system's flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The service that publishes them.
    pub publisher: &'static str,
    /// The routing key that listeners bind to; unique in the system.
    pub routing_key: &'static str,
    /// The type that the message names for itself, with its version.
    pub message_type: &'static str,
    /// The services that must get each of them. Empty: whoever listens may.
    pub consumers: &'static [&'static str],
}

/// A service of a system, as the runtime and the brokers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The name of the system, which its metrics begin with.
    pub system: &'static str,
    /// Its name, which is that of its queue.
    pub name: &'static str,
    /// The flow table of the whole system.
    pub routes: &'static [Route],
    /// Whether it makes the system's id; exactly one service of a system does.
    pub creates_system_id: bool,
}

impl ServiceSpec {
    /// The services that publish something it must get.
    #[must_use]
    pub fn publishers(&self) -> BTreeSet<&'static str> {
        let inbound = self.routes.iter().filter(|route| route.consumers.contains(&self.name));
        inbound.map(|route| route.publisher).collect()
    }

    /// The services that must get something it publishes.
    #[must_use]
    pub fn consumers(&self) -> BTreeSet<&'static str> {
        let outbound = self.routes.iter().filter(|route| route.publisher == self.name);
        outbound.flat_map(|route| route.consumers.iter().copied()).collect()
    }

    /// What it publishes under this routing key.
    #[must_use]
    pub fn route(&self, routing_key: &str) -> Option<&'static Route> {
        self.routes.iter().find(|route| route.publisher == self.name && route.routing_key == routing_key)
    }
}
