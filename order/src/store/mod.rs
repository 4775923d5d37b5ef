//! The database of the order service: its tables and queries, and the conversion between rows and an
//! [`Order`](crate::domain::Order).

mod mapping;
mod queries;
mod tables;

pub(crate) use mapping::to_row;
pub use queries::{by_id, count_unfinished, known_sagas, of_sagas, page, timeline};
pub(crate) use queries::{by_idempotency_keys, by_order_ids, by_sagas, due};
pub use tables::{order_events, orders};
