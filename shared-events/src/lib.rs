//! The contracts between the services, and nothing else: the events that they publish, the envelope of an event, the
//! ids, money, the flow table (who publishes and who consumes what), and what the events say about an order: the facts
//! and the status that follows from them.
//!
//! Guarantees: a value of these types is valid, because each type validates its input ([`Sku`], [`Quantity`],
//! [`Money`], [`Lines`]); decoding an [`Envelope`] never panics; the JSON of an event version never changes (golden
//! files). The crate does no I/O, reads no clock and creates no random ids.

pub mod asyncapi;
mod envelope;
mod event;
pub mod facts;
mod flow;
mod idempotency;
mod ids;
mod lines;
mod money;
mod payment_method;
mod refund;

pub use envelope::{DecodeError, Envelope};
pub use event::{CancelReason, Event, EventBody, EventType, FailureReason, OrderDetails, Reason};
pub use flow::{FLOWS, Flow, ROUTES, Service};
pub use idempotency::{IdempotencyKey, IdempotencyKeyError, OwnedKey};
pub use ids::{OrderId, SagaId, Sku, SkuError};
pub use lines::{Line, Lines, LinesError, MAX_LINES, Quantity, QuantityError};
pub use money::{AmountError, Currency, Money, UnknownCurrency};
pub use payment_method::{PaymentMethod, PaymentMethodError};
pub use refund::{RefundDetails, RefundFailure, RefundId};
pub use saga_message::{Header, Message, MessageId, SystemId, SystemIdError, Timestamp, framing, is_traceparent};
