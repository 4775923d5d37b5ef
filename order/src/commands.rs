//! The commands of the order service, and their replies.

use saga_runtime::ReplyTo;
use service_http::access::Owner;
use shared_events::OrderId;

use crate::domain::{NewOrder, NewRefund, Order, Refund, RefundRefusal};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client places an order.
    Place(NewOrder, ReplyTo<PlaceReply>),
    /// A client cancels an order; with an owner, only one of this owner.
    Cancel(OrderId, Option<Owner>, ReplyTo<CancelReply>),
    /// A client wants an order to be refunded; with an owner, only one of this owner.
    Refund(NewRefund, Option<Owner>, ReplyTo<RefundReply>),
    /// The timer processes the orders and refunds that are due.
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

/// The reply to [`Command::Refund`].
#[derive(Debug)]
pub(crate) enum RefundReply {
    /// The refund is requested, by this or an earlier request with the same key. It is returned in its current state.
    Requested(Box<Refund>),
    /// An earlier request for this order with the same key had different content.
    KeyReused,
    /// It is refused.
    Refused(RefundRefusal),
    /// There is no such order, or not for this client.
    NotFound,
}
