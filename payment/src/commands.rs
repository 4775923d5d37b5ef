//! What clients and the clock ask of the payment service, and what a client gets back.

use saga_runtime::ReplyTo;
use shared_events::{Money, OrderDetails, OrderId, SagaId};

use crate::domain::{Payment, PaymentKey};

/// What the engine handles besides events.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client has an amount authorized, outside any saga. The reply is the payment, authorized or declined.
    Authorize(AuthorizeRequest, ReplyTo<Payment>),
    /// The service itself: the gateway is to void what was authorized for this saga.
    VoidAtGateway {
        saga_id: SagaId,
        /// The order whose cancellation is answered once the payment is void.
        answer_to: Option<OrderDetails>,
    },
    /// The clock: void the payments that are still to be voided.
    VoidDue,
}

/// What a client wants authorized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthorizeRequest {
    pub(crate) key: PaymentKey,
    pub(crate) order_id: OrderId,
    pub(crate) amount: Money,
}
