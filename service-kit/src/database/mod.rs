//! The database: how it is opened, its two doors, and rows in bulk.

mod bulk;
mod connect;
mod fault;
mod ids;
mod inbox;
mod migrate;
pub mod tables;

pub use bulk::{delete_by, find_by, find_locked, insert, insert_missing, insert_new, upsert};
pub use connect::{Database, DatabaseError};
pub use fault::Fault;
pub use ids::next_ids;
pub use inbox::trim_inbox;
pub use migrate::run_sql;
