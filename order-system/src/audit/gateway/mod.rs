//! Compares the payments with what the payment gateway has of them.

mod compare;
mod lookup;
pub mod rules;
mod settings;

pub use compare::Compared;
pub(super) use compare::{Comparison, compare};
pub use settings::GatewayArgs;
