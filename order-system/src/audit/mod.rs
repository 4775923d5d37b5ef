//! The audit of `docs/saga.md`: checks the rules that hold across the three databases and the payment gateway.

mod data;
pub mod gateway;
pub mod refunds;
mod report;
pub mod rules;

pub use data::{of_data_dir, of_databases};
pub use report::Report;
