//! The database of the payment service: its table and queries, and the conversion between rows and a
//! [`Payment`](crate::domain::Payment).

mod mapping;
mod queries;
mod tables;
mod tasks;

pub(crate) use mapping::to_row;
pub use queries::{Listing, all, by_id, of_sagas, page};
pub(crate) use queries::{by_idempotency_keys, by_ids, by_sagas, refunded_by_reference};
pub use tables::payments;
pub(crate) use tasks::{adopt_voids, ask_soon, due, take_over};
