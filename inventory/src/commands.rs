//! The commands of the inventory service, and their replies.

use saga_runtime::ReplyTo;
use service_http::{Preconditions, access::Owner};
use shared_events::{FailureReason, Line, OwnedKey, Sku, Timestamp};

use crate::domain::{ReservationId, StockItem};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client sets how many units of an item are available.
    SetStock(SetStockRequest, ReplyTo<SetStockReply>),
    /// A client reserves stock for itself.
    Reserve(ReserveRequest, ReplyTo<ReserveReply>),
    /// A client releases what was reserved.
    Release(ReleaseRequest, ReplyTo<ReleaseReply>),
    /// The timer processes the reservations that are due.
    WakeDue,
}

/// A client's request to set how many units of an item are available.
#[derive(Debug, Clone)]
pub(crate) struct SetStockRequest {
    /// The item.
    pub(crate) sku: Sku,
    /// The number, which is not negative.
    pub(crate) units: i64,
    /// What is required of the item as it is shown now.
    pub(crate) preconditions: Preconditions,
}

/// A client's request to reserve stock.
#[derive(Debug, Clone)]
pub(crate) struct ReserveRequest {
    /// What to reserve.
    pub(crate) line: Line,
    /// The owner of the client's API key; empty for none.
    pub(crate) key_owner: String,
    /// The idempotency key.
    pub(crate) idempotency_key: Option<OwnedKey>,
}

/// A client's request to release stock.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseRequest {
    /// What to release.
    pub(crate) id: ReservationId,
    /// Only what was reserved with a key of this owner; `None` for anything.
    pub(crate) owner: Option<Owner>,
    /// The idempotency key.
    pub(crate) idempotency_key: Option<OwnedKey>,
}

/// The reply to [`Command::SetStock`].
#[derive(Debug)]
pub(crate) enum SetStockReply {
    /// The item as stored.
    Stored(StockItem),
    /// Together with what is held and sold, the number is too large.
    TooMuch,
    /// The item is not as required, so it was not changed.
    NotAsRequired,
}

/// The reply to [`Command::Reserve`].
#[derive(Debug)]
pub(crate) enum ReserveReply {
    /// The stock is held.
    Reserved {
        /// The reservation's id.
        id: ReservationId,
        /// How many units are still available.
        remaining: i64,
        /// When it is released, unless the client releases it before; `None` for never.
        expires_at: Option<Timestamp>,
    },
    /// Nothing is held, for this reason.
    Rejected(FailureReason),
    /// The owner has used the idempotency key for another request.
    KeyReused,
}

/// The reply to [`Command::Release`].
#[derive(Debug)]
pub(crate) enum ReleaseReply {
    /// The stock is available again.
    Released(Line),
    /// The stock was released before.
    ReleasedBefore,
    /// The stock is held for an order, and only its saga can release it.
    HeldForOrder,
    /// There is no such reservation, or not for this client.
    NotFound,
    /// The owner has used the idempotency key for another request.
    KeyReused,
}
