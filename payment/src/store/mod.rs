//! The payment database: its table, and the way from a row to a [`Payment`](crate::domain::Payment) and back.

mod mapping;
mod queries;
mod tables;

pub(crate) use mapping::to_row;
pub use queries::{all, by_id, of_sagas, page};
pub(crate) use queries::{by_sagas, to_void};
pub use tables::payments;
