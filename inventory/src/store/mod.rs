//! The database of the inventory service: its tables and queries, and the conversion between rows and a
//! [`StockItem`](crate::domain::StockItem) or a [`Reservation`](crate::domain::Reservation).

mod keyed;
mod mapping;
mod queries;
mod tables;

pub(crate) use keyed::{forget_expired, keyed_request_to_row, keyed_requests};
pub(crate) use mapping::{item_to_row, reservation_to_row};
pub use queries::{all_items, all_reservations, item, of_sagas, page, reservation};
pub(crate) use queries::{by_sagas, due, items_by_sku, of_clients};
pub use tables::{idempotency_keys, reservations, stock_items};
