use serde::{Deserialize, Serialize};
use shared_events::{Line, OwnedKey, Timestamp};

use super::ReservationId;

/// A request that was granted and had an idempotency key. It is what its repetitions are answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The key.
    pub key: OwnedKey,
    /// What was done.
    pub grant: Grant,
    /// From when on it may be forgotten.
    pub expires_at: Timestamp,
}

/// What was done for a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Stock is held.
    Reserved {
        /// The line that was to be reserved.
        line: Line,
        /// The reservation.
        id: ReservationId,
        /// How many units were still available.
        remaining: i64,
        /// When it is released, unless the client releases it before; `None` for never.
        expires_at: Option<Timestamp>,
    },
    /// Stock is available again.
    Released {
        /// The reservation that was to be released.
        id: ReservationId,
        /// Its line.
        line: Line,
    },
}
