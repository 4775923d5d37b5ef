//! Rows in bulk: what is read takes one statement, and so does all that a transaction writes, however many rows there are;
//! and the text of a statement does not depend on their number, so that the database prepares it once.
//!
//! PostgreSQL gets one array a column (`UNNEST`). SQLite gets the rows in chunks of fixed sizes.

mod columns;
mod find;
mod insert;
mod writes;

pub(super) use columns::primary_key;
pub(super) use find::with_keys;
pub use find::{find_by, find_each_by, find_locked};
pub use insert::insert_new;
pub use writes::Writes;
