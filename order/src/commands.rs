//! What clients and the clock ask of the order service, and what a client gets back.

use saga_runtime::ReplyTo;
use shared_events::OrderId;

use crate::domain::{NewOrder, Order};

/// What the engine handles besides events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client places an order.
    Place(NewOrder, ReplyTo<PlaceReply>),
    /// A client cancels an order.
    Cancel(OrderId, ReplyTo<CancelReply>),
    /// The clock: handle the orders that are due.
    WakeDue,
}

/// The reply to [`Command::Place`].
#[derive(Debug)]
pub(crate) enum PlaceReply {
    /// The order is placed.
    Placed(Box<Order>),
    /// An earlier request with the same idempotency key placed this order; it is as it stands now.
    PlacedBefore(Box<Order>),
    /// An earlier request with the same idempotency key asked for something else.
    KeyReused,
}

/// The reply to [`Command::Cancel`].
#[derive(Debug)]
pub(crate) enum CancelReply {
    /// The order is being cancelled, was cancelled before, or has failed.
    Accepted(Box<Order>),
    /// The order is confirmed and stays so.
    AlreadyConfirmed,
    /// There is no such order.
    NotFound,
}
