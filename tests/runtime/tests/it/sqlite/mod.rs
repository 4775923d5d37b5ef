//! What only SQLite has: a database that is a file.

mod locked_file;
mod opening;
