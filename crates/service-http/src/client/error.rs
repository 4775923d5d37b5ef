use std::{error::Error, io, iter::successors, time::Duration};

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request itself is wrong.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
    /// There is no connection.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        cause: String,
    },
    /// The server has another certificate than one that is trusted.
    #[error("the certificate of {address} is not trusted: {cause}")]
    Untrusted {
        /// Host and port.
        address: String,
        /// Why.
        cause: String,
    },
    /// The response took too long.
    #[error("no response from {address} within {timeout:?}")]
    TimedOut {
        /// Host and port.
        address: String,
        /// The time limit.
        timeout: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("{address} closed the connection: {cause}")]
    Broken {
        /// Host and port.
        address: String,
        /// Why.
        cause: String,
    },
    /// The body is not the JSON that it should be.
    #[error("the response has another content: {0}")]
    Content(#[from] serde_json::Error),
}

impl HttpError {
    /// Returns the error of a request to `address`.
    pub(super) fn of(address: &str, error: &hyper_util::client::legacy::Error) -> Self {
        let (address, cause) = (address.to_owned(), causes(error));
        if !error.is_connect() {
            Self::Broken { address, cause }
        } else if certificate_error(error) {
            Self::Untrusted { address, cause }
        } else {
            Self::Connect { address, cause }
        }
    }

    /// Returns the host and the port that could not be reached, or did not answer.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Connect { address, .. }
            | Self::Untrusted { address, .. }
            | Self::TimedOut { address, .. }
            | Self::Broken { address, .. } => Some(address),
            Self::Invalid(_) | Self::Content(_) => None,
        }
    }

    /// Returns whether the server has a certificate that is not trusted.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Untrusted { .. })
    }

    /// Returns whether there was a connection, and no response in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

/// Returns the innermost causes of an error. Its own text says only that there was one.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = successors(error.source(), |&error| error.source()).map(ToString::to_string).collect();
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

fn certificate_error(error: &(dyn Error + 'static)) -> bool {
    if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
        return true;
    }
    // An I/O error leaves the error that it contains out of the chain of causes.
    let contained = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    contained.map(|contained| contained as &dyn Error).or_else(|| error.source()).is_some_and(certificate_error)
}
