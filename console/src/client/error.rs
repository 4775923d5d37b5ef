use reqwest::{StatusCode, Url};
use serde::Deserialize;
use service_http::HttpError;
use shared_events::Service;

/// Why a service did not do what it was asked for. `Display` tells the person at the page what happened;
/// [`ClientError::remedy`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("The {service} service cannot be reached at {url}")]
    Unreachable {
        /// The service.
        service: Service,
        /// Its address.
        url: Url,
        /// The cause.
        source: Box<HttpError>,
    },
    /// It did not answer in time.
    #[error("The {service} service at {url} did not answer in time")]
    TimedOut {
        /// The service.
        service: Service,
        /// Its address.
        url: Url,
    },
    /// It refused the request (RFC 9457).
    #[error("The {service} service refused the request: {detail}")]
    Refused {
        /// The service.
        service: Service,
        /// The HTTP status.
        status: u16,
        /// Why, for a person to read.
        detail: String,
        /// The fields that are wrong, if the status is 422.
        fields: Vec<FieldError>,
    },
    /// What it answered is not what this version of the console understands.
    #[error("What answers at {url} is not the {service} service of this version")]
    Unexpected {
        /// The service.
        service: Service,
        /// Its address.
        url: Url,
    },
}

/// A field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldError {
    /// The path of the field, such as `items[0].quantity`; empty for the request as a whole.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The part of a problem that is shown.
#[derive(Deserialize)]
pub(super) struct Problem {
    pub(super) detail: String,
    #[serde(default)]
    pub(super) errors: Vec<FieldError>,
}

impl ClientError {
    /// Returns the service.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Unreachable { service, .. }
            | Self::TimedOut { service, .. }
            | Self::Refused { service, .. }
            | Self::Unexpected { service, .. } => *service,
        }
    }

    /// Whether the service answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether it is the request that is wrong, not the service.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { status: ..500, .. })
    }

    /// Returns the status of a page that says this: that of the service, or 503 if it could not do it.
    #[must_use]
    pub fn page_status(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } if self.is_refused() => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns what is wrong with the field of this name, if the request was refused because of it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let Self::Refused { fields, .. } = self else { return None };
        fields.iter().find(|error| error.field == name).map(|error| error.detail.as_str())
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreachable { source, .. } if source.is_untrusted() => {
                "Its certificate is not trusted: give the console the certificate of its authority with --ca-file, and \
                 the service's name as it stands in the certificate."
                    .to_owned()
            }
            Self::Unreachable { service, .. } => format!(
                "Start the service, or give the console its address with --{service}-url. This page finds it again \
                 by itself."
            ),
            Self::TimedOut { .. } => {
                "Its log says what it waits for; usually that is its database. Try again in a moment.".to_owned()
            }
            Self::Refused { status: 401, .. } => {
                "The console has no admin token, or another than the service: start both with the same --admin-token."
                    .to_owned()
            }
            Self::Refused { status: 503, .. } => "Nothing was written. Try again in a moment.".to_owned(),
            Self::Refused { status: 500.., .. } => "The log of the service says why.".to_owned(),
            Self::Refused { .. } => "Nothing was written.".to_owned(),
            Self::Unexpected { service, .. } => {
                format!("See that --{service}-url is right, and that console and services have the same version.")
            }
        }
    }
}
