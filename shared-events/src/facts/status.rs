use std::fmt;

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not decided yet.
    Pending,
    /// Being undone; not final yet.
    Compensating,
    /// Final: it is paid, and its stock is sold.
    Confirmed,
    /// Final: nothing is held and nothing is paid.
    Failed,
    /// Final, cancelled by the customer: nothing is held and nothing is paid.
    Cancelled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Compensating, Self::Confirmed, Self::Failed, Self::Cancelled];

    /// Returns its name in REST and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Compensating => "COMPENSATING",
            Self::Confirmed => "CONFIRMED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Returns whether the status is final: no later fact changes it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The status of an order's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// Not decided yet.
    Pending,
    /// Authorized.
    Succeeded,
    /// Declined.
    Failed,
    /// Voided: nothing is authorized any more.
    Voided,
    /// Never requested.
    NotAttempted,
}

impl PaymentStatus {
    /// Returns its name in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Voided => "VOIDED",
            Self::NotAttempted => "NOT_ATTEMPTED",
        }
    }
}
