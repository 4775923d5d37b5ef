//! The inventory database: its tables, and the way from a row to a [`StockItem`](crate::domain::StockItem) or a
//! [`Reservation`](crate::domain::Reservation) and back.

mod mapping;
mod queries;
mod tables;

pub(crate) use mapping::{item_to_row, reservation_to_row};
pub use queries::{all_items, all_reservations, item, of_sagas, page};
pub(crate) use queries::{by_sagas, due, items_by_sku, of_clients};
pub use tables::{reservations, stock_items};
