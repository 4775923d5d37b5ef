//! The commands of the order service, and their replies.

use saga_runtime::ReplyTo;
use service_http::access::Owner;
use shared_events::OrderId;

use crate::domain::{NewOrder, Order};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client places an order.
    Place(NewOrder, ReplyTo<PlaceReply>),
    /// A client cancels an order; with an owner, only one of this owner.
    Cancel(OrderId, Option<Owner>, ReplyTo<CancelReply>),
    /// The timer processes the orders that are due.
    WakeDue,
}

/// The reply to [`Command::Place`].
#[derive(Debug)]
pub(crate) enum PlaceReply {
    /// The order is placed.
    Placed(Box<Order>),
    /// An earlier request of the owner with the same key placed this order. It is returned in its current state.
    PlacedBefore(Box<Order>),
    /// An earlier request of the owner with the same key had different content.
    KeyReused,
}

/// The reply to [`Command::Cancel`].
#[derive(Debug)]
pub(crate) enum CancelReply {
    /// The order is being cancelled, was cancelled before, or has failed.
    Accepted(Box<Order>),
    /// The order is confirmed and cannot be cancelled any more.
    AlreadyConfirmed,
    /// There is no such order, or not for this client.
    NotFound,
}
