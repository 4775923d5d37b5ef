//! An order and how it ends: pure code, without a database, a network or a clock.

mod order;
mod refund;
mod transition;

pub use order::{AlreadyConfirmed, CancelPolicy, NewOrder, Order};
pub use refund::{NewRefund, Refund, RefundRefusal, RefundState, on_refund_event};
pub use shared_events::{
    IdempotencyKey, IdempotencyKeyError,
    facts::{Cancel, Capture, Fact, Facts, Payment, PaymentStatus, Status, Stock},
};
pub use transition::{Transition, on_cancel, on_event, on_tick};
