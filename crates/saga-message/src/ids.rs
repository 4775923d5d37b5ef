use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// The id of an event, or of a message with several ([`framing::batch_id`](crate::framing::batch_id)); a UUIDv7. A
/// redelivered message keeps its id, and the inbox is keyed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

/// The id of one deployment (UUIDv7), stored in its databases and contained in its messages. One of the deployment's
/// services creates it, once; a service does not handle messages of another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct SystemId(Uuid);

/// The UUID is not a system id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a system id, which is a UUID of version 7, such as `order-system verify` prints")]
pub struct SystemIdError;

impl SystemId {
    /// Returns when the id was created.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map(|moment| moment.to_unix()).unwrap_or_default();
        let micros = seconds.saturating_mul(1_000_000).saturating_add(u64::from(nanos / 1_000));
        Timestamp::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl TryFrom<Uuid> for SystemId {
    type Error = SystemIdError;

    fn try_from(id: Uuid) -> Result<Self, SystemIdError> {
        if id.get_version_num() == 7 { Ok(Self(id)) } else { Err(SystemIdError) }
    }
}

impl FromStr for SystemId {
    type Err = SystemIdError;

    fn from_str(text: &str) -> Result<Self, SystemIdError> {
        Uuid::try_parse(text).map_err(|_| SystemIdError)?.try_into()
    }
}

impl From<SystemId> for Uuid {
    fn from(id: SystemId) -> Self {
        id.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
