//! The commands of the payment service. Only one of them has a reply: the payment itself.

use saga_runtime::ReplyTo;
use shared_events::{Money, OrderDetails, OrderId, SagaId};

use crate::{
    domain::{Payment, PaymentKey},
    gateway::Reference,
};

/// The inputs of the engine that are not events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client requests the authorization of an amount, outside any saga. The reply is the payment, authorized or
    /// declined.
    Authorize(AuthorizeRequest, ReplyTo<Payment>),
    /// The service itself calls the gateway to void what was authorized for this saga.
    VoidAtGateway {
        saga_id: SagaId,
        /// The gateway's reference of the payment.
        reference: Reference,
        /// The order whose cancellation is answered once the payment is voided; `None` if the timer sent the command.
        answer_to: Option<OrderDetails>,
    },
    /// The timer voids the payments that are still `VOIDING`.
    VoidDue,
}

/// A client's request for an authorization.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthorizeRequest {
    pub(crate) key: PaymentKey,
    pub(crate) order_id: OrderId,
    pub(crate) amount: Money,
}
