//! The commands of the inventory service, and their replies.

use saga_runtime::ReplyTo;
use shared_events::{FailureReason, Line, Sku};

use crate::domain::{ReservationId, StockItem};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client sets how many units of an item are available. The number is not negative.
    SetStock(Sku, i64, ReplyTo<SetStockReply>),
    /// A client reserves stock for itself.
    Reserve(Line, ReplyTo<ReserveReply>),
    /// A client releases what it has reserved.
    Release(ReservationId, ReplyTo<ReleaseReply>),
    /// The timer processes the reservations that are due.
    WakeDue,
}

/// The reply to [`Command::SetStock`].
#[derive(Debug)]
pub(crate) enum SetStockReply {
    /// The item as stored.
    Stored(StockItem),
    /// Together with what is held and sold, the number is too large.
    TooMuch,
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
    },
    /// Nothing is held, for this reason.
    Rejected(FailureReason),
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
    /// There is no such reservation.
    NotFound,
}
