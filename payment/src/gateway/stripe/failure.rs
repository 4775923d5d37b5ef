use std::time::Duration;

use super::{super::Outcome, wire::ApiError};

/// Why a request has not done what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It did not reach Stripe, or Stripe has not begun with it: too many requests, another one for the same object, a
    /// key that is not accepted.
    NotDone {
        reason: String,
        /// How long Stripe asks to wait.
        after: Option<Duration>,
    },
    /// Whether it was done is not known. `replayed` if Stripe has repeated an earlier answer, and would do so until it
    /// forgets the idempotency key.
    Unknown { reason: String, replayed: bool },
    /// The means of payment was refused.
    Card(ApiError),
    /// There is no such object.
    NotFound(String),
    /// The request is refused, and would be refused again.
    Refused(ApiError),
}

impl Failure {
    /// Classifies a response that is an error, by
    /// <https://docs.stripe.com/error-low-level> and <https://docs.stripe.com/api/errors>.
    pub(super) fn of(status: u16, error: ApiError, replayed: bool, after: Option<Duration>) -> Self {
        let reason = || format!("Stripe answers {status}: {}", error.detail());
        match status {
            // The key is wrong, expired, or lacks a permission. That is not the customer's fault: the payment waits.
            401 | 403 => {
                let reason = reason();
                tracing::error!(reason, "Stripe does not accept the API key; check --stripe-api-key-file");
                Self::NotDone { reason, after }
            }
            402 => Self::Card(error),
            404 => Self::NotFound(error.detail()),
            // 409: a request with the same key runs. 424: something behind Stripe failed, which Stripe lists with 5xx.
            409 | 429 => Self::NotDone { reason: reason(), after },
            424 | 500.. => Self::Unknown { reason: reason(), replayed },
            _ if error.code.as_deref() == Some("lock_timeout") => Self::NotDone { reason: reason(), after },
            _ => Self::Refused(error),
        }
    }

    /// Returns the outcome of a call that has failed with a request that changes something. `refused` says what it
    /// means if Stripe refuses the request for good.
    pub(super) fn into_outcome<T>(self, refused: impl FnOnce(ApiError) -> Outcome<T>) -> Outcome<T> {
        use super::super::DeclineCode::{NotFound, Refused};
        match self {
            Self::NotDone { reason, after } => Outcome::RetryLater { reason, after },
            Self::Unknown { reason, .. } => Outcome::Unknown(reason),
            Self::Card(error) => Outcome::declined(Refused, error.detail()),
            Self::NotFound(detail) => Outcome::declined(NotFound, detail),
            Self::Refused(error) => refused(error),
        }
    }

    /// Returns the outcome of a call that has failed with a request that only reads, before it changed anything.
    pub(super) fn before_change<T>(self) -> Outcome<T> {
        match self {
            Self::Unknown { reason, .. } => Outcome::RetryLater { reason, after: None },
            failure => failure.into_outcome(|error| Outcome::RetryLater { reason: error.detail(), after: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: Option<&str>) -> Failure {
        let error = ApiError { code: code.map(str::to_owned), ..ApiError::default() };
        Failure::of(status, error, false, None)
    }

    #[test]
    fn each_status_says_whether_something_was_done() {
        for status in [401, 403, 409, 429] {
            assert!(matches!(of(status, None), Failure::NotDone { .. }), "{status}");
        }
        assert!(matches!(of(400, Some("lock_timeout")), Failure::NotDone { .. }));
        for status in [424, 500, 502, 503, 504] {
            assert!(matches!(of(status, None), Failure::Unknown { .. }), "{status}");
        }
        assert!(matches!(of(402, Some("card_declined")), Failure::Card(_)));
        assert!(matches!(of(404, Some("resource_missing")), Failure::NotFound(_)));
        assert!(matches!(of(400, Some("parameter_invalid_integer")), Failure::Refused(_)));
    }
}
