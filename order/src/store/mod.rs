//! The order database: its tables, and the way from a row to an [`Order`](crate::domain::Order) and back.

mod mapping;
mod queries;
mod tables;

pub(crate) use mapping::to_row;
pub use queries::{by_id, known_sagas, of_sagas, page, timeline, under_way};
pub(crate) use queries::{by_idempotency_keys, by_order_ids, by_sagas, due};
pub use tables::{order_events, orders};
