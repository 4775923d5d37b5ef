//! The audit of `docs/saga.md`: what must hold of the three databases together.

mod data;
mod report;
pub mod rules;

pub use data::{of_data_dir, of_databases};
pub use report::Report;
