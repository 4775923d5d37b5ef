//! What goes wrong at the broker, in words for an operator.

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
};

use crate::broker::BrokerError;

/// What `error` says, without the library's wrapping.
pub(super) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        // The broker's own words, such as "NOT_FOUND - no queue 'order' in vhost '/'".
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::ParsingError(_) => "whoever answers there does not speak AMQP; is it a port for TLS?".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn unusable(what: impl Into<String>) -> BrokerError {
    BrokerError::Unreachable(what.into())
}

/// An error of which the broker closes the channel, and only the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user may not do this.
    NotAllowed,
    /// There is no such thing.
    NotThere,
}

impl Refusal {
    pub(super) fn of(error: &lapin::Error) -> Option<Self> {
        let ErrorKind::ProtocolError(error) = error.kind() else { return None };
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Some(Self::NotAllowed),
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Some(Self::NotThere),
            _ => None,
        }
    }
}
