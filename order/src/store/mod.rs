//! The database of the order service: its tables and queries, and the conversion between rows and an
//! [`Order`](crate::domain::Order).

mod listing;
mod mapping;
mod queries;
pub mod refunds;
mod tables;
pub(crate) mod unsettled;

pub use listing::{Cursor, ListPage, Listing, page};
pub(crate) use mapping::{reason_name, to_row};
pub use queries::{all, by_id, count_unfinished, details, has_owner, known_sagas, of_sagas, timeline, traceparent};
pub(crate) use queries::{by_idempotency_keys, by_order_ids, by_sagas, due, oldest_open, to_capture};
pub use tables::{order_events, orders};
