//! An order and how it ends: pure code, without a database, a network or a clock.

mod facts;
mod idempotency;
mod order;
mod transition;

pub use facts::{Cancel, Fact, Facts, Payment, PaymentStatus, Status, Stock};
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
pub use order::{AlreadyConfirmed, CancelPolicy, NewOrder, Order};
pub use transition::{Transition, on_cancel, on_event, on_tick};
