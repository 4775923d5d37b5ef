//! Bulk statements: whatever the number of rows, a query is one statement, and so is all that a transaction writes. The
//! text of a statement does not depend on the number of rows, so that the database prepares it only once.
//!
//! PostgreSQL gets one array for each column (`UNNEST`). SQLite gets the rows in chunks of fixed sizes.

mod columns;
mod find;
mod insert;
mod writes;

pub(super) use columns::primary_key;
pub(super) use find::with_keys;
pub use find::{find_by, find_each_by, find_locked};
pub use insert::insert_new;
pub use writes::Writes;
