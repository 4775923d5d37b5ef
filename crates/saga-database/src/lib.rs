//! A service's database on SeaORM, SQLite or PostgreSQL: connection pools for writing and for reading, bulk statements,
//! the tables of inbox, outbox, dead letters and API keys, the relay's lock, and notices between the replicas on one
//! database.
//!
//! It guarantees that a reader never waits for the writer, and that connections which do not answer are dropped and
//! replaced.

mod api_keys;
mod audit_log;
mod bulk;
mod clock;
mod connect;
mod dead_letters;
mod due;
mod fault;
mod hosts;
mod ids;
mod inbox;
mod keyset;
mod migrate;
mod postgres;
mod relay_lock;
mod replica_bus;
mod rows;
mod settings;
mod sqlite;
mod stats;
mod system;
pub mod tables;
mod working_set;

pub use api_keys::{api_keys, delete_api_key, expire_api_key, insert_api_key, revoke_api_key};
pub use audit_log::{append_to_audit_log, audit_log_page};
pub use bulk::{Writes, find_by, find_each_by, find_locked, insert_new};
pub use clock::{Clock, ClockOffset};
pub use connect::{Database, DatabaseError, ListReader, TooManyLists};
pub use dead_letters::{
    DeadLetterSummary, count_attempt, dead_letter, dead_letter_ids, dead_letters, take_dead_letters,
};
pub use due::{UNREADABLE_DELAY, postpone_unreadable, take_due};
pub use fault::Fault;
pub use ids::next_ids;
pub use inbox::trim_inbox;
pub use keyset::keyset;
pub use migrate::run_sql;
pub use postgres::limit_lock_wait;
pub use relay_lock::RelayLock;
pub use replica_bus::{ReplicaBus, Topic};
pub use rows::{Rows, read_rows, readable};
pub use settings::{DatabaseArgs, DatabaseSettingsError, DatabaseTarget, PostgresSettings};
pub use stats::{TableCounts, table_counts};
pub use system::{adopt_system_id, has_no_data, made_at, read_system_id, replace_system_id, system_id};
pub use working_set::{ToSave, WorkingSet};

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
