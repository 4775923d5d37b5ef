use std::fmt;

/// The state of a payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The gateway has to authorize it.
    Requested,
    /// The gateway authorized it.
    Authorized,
    /// Its order is confirmed; the gateway still has to take the amount.
    Capturing,
    /// The gateway took the amount.
    Captured,
    /// The gateway refused to take the amount, for this reason, such as an authorization that has expired.
    CaptureFailed(String),
    /// The gateway declined it, for this reason.
    Declined(String),
    /// It is no longer wanted; the gateway still has to void it.
    Voiding,
    /// Nothing is held, and nothing will be: the gateway has voided it, or was never asked to authorize it.
    Voided,
    /// The order was cancelled before its payment was requested. This is not a payment but a tombstone: it prevents a
    /// payment.
    Cancelled,
}

impl State {
    /// Returns its name in REST and in the database.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Authorized => "AUTHORIZED",
            Self::Capturing => "CAPTURING",
            Self::Captured => "CAPTURED",
            Self::CaptureFailed(_) => "CAPTURE_FAILED",
            Self::Declined(_) => "DECLINED",
            Self::Voiding => "VOIDING",
            Self::Voided => "VOIDED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Returns the state with this name, and with this reason if it has one.
    #[must_use]
    pub fn parse(name: &str, reason: Option<String>) -> Option<Self> {
        Some(match name {
            "REQUESTED" => Self::Requested,
            "AUTHORIZED" => Self::Authorized,
            "CAPTURING" => Self::Capturing,
            "CAPTURED" => Self::Captured,
            "CAPTURE_FAILED" => Self::CaptureFailed(reason?),
            "DECLINED" => Self::Declined(reason?),
            "VOIDING" => Self::Voiding,
            "VOIDED" => Self::Voided,
            "CANCELLED" => Self::Cancelled,
            _ => return None,
        })
    }

    /// Returns whether the amount is captured, or may still be.
    #[must_use]
    pub fn may_be_captured(&self) -> bool {
        match self {
            Self::Requested | Self::Authorized | Self::Capturing | Self::Captured => true,
            Self::CaptureFailed(_) | Self::Declined(_) | Self::Voiding | Self::Voided | Self::Cancelled => false,
        }
    }

    /// Returns why the gateway declined it, or refused to take the amount, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Declined(reason) | Self::CaptureFailed(reason) => Some(reason),
            Self::Requested
            | Self::Authorized
            | Self::Capturing
            | Self::Captured
            | Self::Voiding
            | Self::Voided
            | Self::Cancelled => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
