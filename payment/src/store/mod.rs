//! The database of the payment service: its table and queries, and the conversion between rows and a
//! [`Payment`](crate::domain::Payment).

mod mapping;
mod queries;
mod tables;

pub(crate) use mapping::to_row;
pub use queries::{Listing, all, by_id, of_sagas, page};
pub(crate) use queries::{by_sagas, to_void};
pub use tables::payments;
