//! Errors of the broker, described for an operator: what went wrong, and what to do about it.

use std::{fmt, io};

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use saga_runtime::broker::BrokerError;

/// What went wrong. The broker's address is added by [`BrokerFailure::at`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerFailure {
    /// The broker is unavailable, or the connection was lost. A retry may succeed.
    Lost(String),
    /// The broker failed to process a request. The same request may succeed when it is repeated.
    Failed(String),
    /// A retry does not help; an operator has to fix it.
    Wrong {
        /// What is wrong.
        wrong: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// When it happened. The broker uses the same codes for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the connection was open.
    Opening,
    /// While declaring or checking exchanges and queues, or starting to use them.
    Preparing,
    /// While publishing or consuming.
    Working,
}

const INTERNAL: AMQPErrorKind = AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR);

const CREDENTIALS: &str = "check the user and the password in AMQP_URL, or the password in AMQP_PASSWORD_FILE";
const VHOST: &str =
    "check the vhost in AMQP_URL, or have an administrator create it, give this user rights there or raise its limits";
const NOT_AMQP: &str = "check the host and the port in AMQP_URL; a port for TLS needs amqps://";
const TLS: &str = "check that the port in AMQP_URL is one for TLS, that the broker's certificate names this host, \
                   and that its authority is in AMQP_CA_FILE or, without that, trusted by this machine";
const RIGHTS: &str = "have an administrator give this user the rights that rabbitmq/README.md names";
pub(crate) const PROVISION: &str = "have an administrator import rabbitmq/definitions.json, or let this user \
                                     configure, so that the service declares it";
pub(crate) const GONE: &str =
    "the next connection declares it again if this user may, and otherwise reports what is missing";
const REPLACE: &str =
    "have an administrator move its messages, delete it, and create it as in rabbitmq/definitions.json";

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

    /// Adds the broker's address.
    pub(crate) fn at(self, address: &str) -> BrokerError {
        match self {
            Self::Lost(why) | Self::Failed(why) => BrokerError::Unreachable(format!("{address}: {why}")),
            Self::Wrong { wrong, remedy } => {
                BrokerError::Unusable { broker: address.to_owned(), wrong, remedy: remedy.to_owned() }
            }
        }
    }
}

impl fmt::Display for BrokerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lost(why) | Self::Failed(why) | Self::Wrong { wrong: why, .. }) = self;
        f.write_str(why)
    }
}

/// Returns the message of `error` without lapin's wrapping.
pub(crate) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        // The broker's message for an internal error has hardly any details.
        ErrorKind::ProtocolError(error) if *error.kind() == INTERNAL => {
            format!("{}; the broker's log says more", error.get_message())
        }
        // The broker's own text, such as "NOT_FOUND - no queue 'order' in vhost '/'".
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => {
            "the server at this address does not speak AMQP 0-9-1".to_owned()
        }
        ErrorKind::MissingHeartbeatError => "it was silent for too long".to_owned(),
        _ => error.to_string(),
    }
}

fn remedy(error: &ErrorKind, during: Phase) -> Option<&'static str> {
    let error = match (error, during) {
        (ErrorKind::ProtocolError(error), _) => error.kind(),
        (ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_), Phase::Opening) => return Some(NOT_AMQP),
        // An error of the TLS library; network errors are of other kinds.
        (ErrorKind::IOError(error), Phase::Opening) if error.kind() == io::ErrorKind::InvalidData => return Some(TLS),
        _ => return None,
    };
    match (error, during) {
        (AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED), Phase::Opening) => Some(VHOST),
        (AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), Phase::Opening) => Some(CREDENTIALS),
        (AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), _) => Some(RIGHTS),
        // It existed when the connection was opened.
        (AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND), _) => Some(GONE),
        // The object exists with other properties, or is exclusive to another connection. (To a consumer,
        // PRECONDITION_FAILED reports that an acknowledgement took too long.)
        (AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED), Phase::Preparing) => {
            Some(REPLACE)
        }
        _ => None,
    }
}

/// Reports whether a retry may succeed. RabbitMQ 3.10 fails with an internal error if several clients declare the same
/// quorum queue at the same time. A queue that another client has just declared may have no leader yet, which the
/// broker reports as "not found".
fn is_failure(error: &lapin::Error, during: Phase) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    match error.kind() {
        kind if *kind == INTERNAL => true,
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => during == Phase::Preparing,
        _ => false,
    }
}

/// An error for which the broker closes the channel, but not the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The user may not do this.
    NotAllowed,
    /// It does not exist.
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
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), "its text".into())).into()
    }

    fn remedy_of(kind: impl Into<AMQPErrorKind>, during: Phase) -> Option<&'static str> {
        match BrokerFailure::of(&error(kind), during) {
            BrokerFailure::Wrong { wrong, remedy } => {
                assert_eq!(wrong, "its text");
                Some(remedy)
            }
            BrokerFailure::Lost(_) | BrokerFailure::Failed(_) => None,
        }
    }

    #[test]
    fn temporary_failures_need_no_remedy() {
        for during in [Phase::Opening, Phase::Preparing, Phase::Working] {
            assert_eq!(remedy_of(AMQPHardError::CONNECTIONFORCED, during), None);
            let failure = BrokerFailure::of(&error(AMQPHardError::INTERNALERROR), during);
            assert_eq!(failure, BrokerFailure::Failed("its text; the broker's log says more".to_owned()));
            let reset: lapin::Error = io::Error::from(io::ErrorKind::ConnectionReset).into();
            assert!(matches!(BrokerFailure::of(&reset, during), BrokerFailure::Lost(_)));
        }
        assert_eq!(remedy_of(AMQPSoftError::NOTFOUND, Phase::Preparing), None);
        // The broker reports this to a consumer whose acknowledgement took too long.
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
