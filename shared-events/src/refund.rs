use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{Lines, Money};

/// The id of a refund (UUIDv7). Also the key under which the gateway knows it, so that it is paid out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefundId(pub Uuid);

impl fmt::Display for RefundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What never changes about a refund: money that goes back for a confirmed order, and the goods that come back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefundDetails {
    /// Its id.
    pub refund_id: RefundId,
    /// The amount that goes back.
    pub amount: Money,
    /// The goods that become available again once the money has gone back; `None` if none do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub restock: Option<Lines>,
}

/// A field that may be missing, but not null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Lines>, D::Error> {
    Lines::deserialize(deserializer).map(Some)
}

/// Why a refund failed. The wire format is `NOT_CAPTURED` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundFailure {
    /// The payment was never captured and will not be, so there is nothing to give back.
    NotCaptured,
    /// The earlier refunds leave less than this of what was captured.
    ExceedsCaptured,
    /// The gateway refuses it.
    Declined,
    /// The gateway had accepted it, and it has failed since: the amount has not reached the customer. The goods that
    /// came back with it stay back.
    Reversed,
}

impl RefundFailure {
    /// Returns the reason as text.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::NotCaptured => "the payment was not captured",
            Self::ExceedsCaptured => "more than is left of what was captured",
            Self::Declined => "the payment gateway declined the refund",
            Self::Reversed => "the refund was accepted and has failed since, so the customer has not got the amount",
        }
    }
}
