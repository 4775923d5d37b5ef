//! What goes wrong at the broker, in words for an operator: what it is, and what to do about it.

use std::io;

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use saga_runtime::broker::BrokerError;

/// What went wrong, at a broker that is still to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerFailure {
    /// The broker is unavailable, or the connection was lost: the next try may succeed.
    Lost(String),
    /// The broker failed at a request that it may well fulfil when it is made again.
    Failed(String),
    /// It stays so until somebody does something.
    Wrong {
        /// What is wrong.
        wrong: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// While what it happened. The broker uses the same codes for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Up to the open connection.
    Opening,
    /// Declaring or looking for exchanges and queues, and beginning to use them.
    Preparing,
    /// Publishing or consuming.
    Working,
}

const INTERNAL: AMQPErrorKind = AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR);

const CREDENTIALS: &str = "check the user and the password in AMQP_URL, or the password in AMQP_PASSWORD_FILE";
const VHOST: &str =
    "check the vhost in AMQP_URL, or have an administrator make it, give this user rights there or raise its limits";
const NOT_AMQP: &str = "check the host and the port in AMQP_URL; a port for TLS needs amqps://";
const TLS: &str = "check that the port in AMQP_URL is one for TLS, that the broker's certificate names this host, \
                   and that its authority is in AMQP_CA_FILE or, without that, trusted by this machine";
const RIGHTS: &str = "have an administrator give this user the rights that rabbitmq/README.md names";
pub(crate) const PROVISION: &str = "have an administrator import rabbitmq/definitions.json, or let this user configure, so that the service declares it";
pub(crate) const GONE: &str =
    "the next connection makes it anew where this user may, and otherwise names all that is missing";
const REPLACE: &str =
    "have an administrator delete it, after moving away what it holds, and make it as in rabbitmq/definitions.json";

impl BrokerFailure {
    pub(crate) fn of(error: &lapin::Error, during: Phase) -> Self {
        let wrong = explain(error);
        if is_failure(error, during) {
            return Self::Failed(wrong);
        }
        match remedy(error.kind(), during) {
            Some(remedy) => Self::Wrong { wrong, remedy },
            None => Self::Lost(wrong),
        }
    }

    /// The same, of the broker at `address`.
    pub(crate) fn at(self, address: &str) -> BrokerError {
        match self {
            Self::Lost(why) | Self::Failed(why) => BrokerError::Unreachable(format!("{address}: {why}")),
            Self::Wrong { wrong, remedy } => {
                BrokerError::Unusable { broker: address.to_owned(), wrong, remedy: remedy.to_owned() }
            }
        }
    }
}

/// What `error` says, without the library's wrapping.
pub(crate) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        // In this case, it has hardly any words of its own.
        ErrorKind::ProtocolError(error) if *error.kind() == INTERNAL => {
            format!("{}; the broker's log says more", error.get_message())
        }
        // The broker's own words, such as "NOT_FOUND - no queue 'order' in vhost '/'".
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => {
            "whoever answers there does not speak AMQP 0-9-1".to_owned()
        }
        ErrorKind::MissingHeartbeatError => "it was silent for too long".to_owned(),
        _ => error.to_string(),
    }
}

fn remedy(error: &ErrorKind, during: Phase) -> Option<&'static str> {
    let error = match (error, during) {
        (ErrorKind::ProtocolError(error), _) => error.kind(),
        (ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_), Phase::Opening) => return Some(NOT_AMQP),
        // What the TLS library does not accept; the network's own errors are of other kinds.
        (ErrorKind::IOError(error), Phase::Opening) if error.kind() == io::ErrorKind::InvalidData => return Some(TLS),
        _ => return None,
    };
    match (error, during) {
        (AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED), Phase::Opening) => Some(VHOST),
        (AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), Phase::Opening) => Some(CREDENTIALS),
        (AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), _) => Some(RIGHTS),
        // It was there when the connection was opened.
        (AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND), _) => Some(GONE),
        // It has other properties, or is another connection's own. (To a consumer, the first of them says that it took too
        // long to acknowledge.)
        (AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED), Phase::Preparing) => {
            Some(REPLACE)
        }
        _ => None,
    }
}

/// RabbitMQ 3.10 fails with an internal error when several declare the same quorum queue at the same time; and the queue, just
/// declared by another, may have no leader yet, which the broker calls "not found".
fn is_failure(error: &lapin::Error, during: Phase) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    match error.kind() {
        kind if *kind == INTERNAL => true,
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => during == Phase::Preparing,
        _ => false,
    }
}

/// An error of which the broker closes the channel, and only the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The user may not do this.
    NotAllowed,
    /// There is no such thing.
    NotThere,
}

impl Refusal {
    pub(crate) fn of(error: &lapin::Error) -> Option<Self> {
        let ErrorKind::ProtocolError(error) = error.kind() else { return None };
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Some(Self::NotAllowed),
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Some(Self::NotThere),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn error(kind: impl Into<AMQPErrorKind>) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), "its words".into())).into()
    }

    fn remedy_of(kind: impl Into<AMQPErrorKind>, during: Phase) -> Option<&'static str> {
        match BrokerFailure::of(&error(kind), during) {
            BrokerFailure::Wrong { wrong, remedy } => {
                assert_eq!(wrong, "its words");
                Some(remedy)
            }
            BrokerFailure::Lost(_) | BrokerFailure::Failed(_) => None,
        }
    }

    #[test]
    fn what_passes_by_itself_needs_no_remedy() {
        for during in [Phase::Opening, Phase::Preparing, Phase::Working] {
            assert_eq!(remedy_of(AMQPHardError::CONNECTIONFORCED, during), None);
            let failure = BrokerFailure::of(&error(AMQPHardError::INTERNALERROR), during);
            assert_eq!(failure, BrokerFailure::Failed("its words; the broker's log says more".to_owned()));
            let reset: lapin::Error = io::Error::from(io::ErrorKind::ConnectionReset).into();
            assert!(matches!(BrokerFailure::of(&reset, during), BrokerFailure::Lost(_)));
        }
        assert_eq!(remedy_of(AMQPSoftError::NOTFOUND, Phase::Preparing), None);
        // An acknowledgement that took too long.
        assert_eq!(remedy_of(AMQPSoftError::PRECONDITIONFAILED, Phase::Working), None);
    }

    #[test]
    fn the_same_code_means_different_things() {
        assert_eq!(remedy_of(AMQPSoftError::ACCESSREFUSED, Phase::Opening), Some(CREDENTIALS));
        assert_eq!(remedy_of(AMQPSoftError::ACCESSREFUSED, Phase::Preparing), Some(RIGHTS));
        assert_eq!(remedy_of(AMQPSoftError::ACCESSREFUSED, Phase::Working), Some(RIGHTS));
        assert_eq!(remedy_of(AMQPSoftError::PRECONDITIONFAILED, Phase::Preparing), Some(REPLACE));
        assert_eq!(remedy_of(AMQPSoftError::NOTFOUND, Phase::Working), Some(GONE));
    }
}
