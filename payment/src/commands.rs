//! The commands of the payment service.

use saga_runtime::ReplyTo;
use shared_events::{Money, OrderId, OwnedKey};

use crate::{
    domain::{Payment, PaymentId, PaymentKey},
    gateway::{FailedRefund, Question, Reference},
};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client requests the authorization of an amount, outside any saga.
    Authorize(AuthorizeRequest, ReplyTo<AuthorizeReply>),
    /// The service itself takes payments that the gateway is to be asked about.
    TakeDue,
    /// The timer does the same.
    Tick,
    /// The service itself asks the gateway about a payment. The answer is part of the input.
    Ask(PaymentId, Question),
    /// A webhook says that a payment has changed at the gateway.
    LookUp(Reference, ReplyTo<()>),
    /// The gateway says that these refunds of a payment have failed after it had accepted them.
    RefundsReversed(Reference, Vec<FailedRefund>, ReplyTo<()>),
    /// The service itself checks whether the gateway answers again.
    Probe,
}

/// A client's request for an authorization.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizeRequest {
    /// The gateway's key, new for each request.
    pub(crate) key: PaymentKey,
    pub(crate) order_id: OrderId,
    pub(crate) amount: Money,
    pub(crate) idempotency_key: Option<OwnedKey>,
}

/// The reply to a request for an authorization.
#[derive(Debug)]
pub(crate) enum AuthorizeReply {
    /// The payment, now or by an earlier request of the owner with the same key; `REQUESTED` if the gateway has not
    /// answered yet.
    Payment(Box<Payment>),
    /// The owner has used the idempotency key for other content.
    KeyReused,
}
