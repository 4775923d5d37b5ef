//! The database: how it is opened, its two doors, and rows in bulk.

mod bulk;
mod connect;
mod dead_letters;
mod fault;
mod figures;
mod ids;
mod inbox;
mod lead;
mod migrate;
mod neighbours;
mod postgres;
mod rows;
mod settings;
mod sqlite;
mod system;
pub mod tables;

pub use bulk::{Writes, find_by, find_each_by, find_locked, insert_new};
pub use connect::{Database, DatabaseError, ListReader, TooManyLists};
pub use dead_letters::{DeadLetterSummary, dead_letter, dead_letters};
pub(crate) use dead_letters::{count_attempt, dead_letter_ids, take_dead_letters};
pub use fault::Fault;
pub(crate) use figures::{TableCounts, table_counts};
pub use ids::next_ids;
pub use inbox::trim_inbox;
pub(crate) use lead::Lead;
pub use migrate::run_sql;
pub use neighbours::{Neighbours, Topic};
pub(crate) use postgres::limit_lock_wait;
pub use rows::{Rows, read_rows, readable};
pub use settings::{DatabaseArgs, DatabasePlace, DatabaseSettingsError, PostgresSettings};
pub use system::system_id;
pub(crate) use system::{adopt_system_id, has_no_data, made_at, read_system_id, replace_system_id};
