//! `order-system keys`: manages the API keys, in the databases of the three services.

#![allow(clippy::print_stdout, reason = "the output is for the user; logs go to standard error")]

mod changes;
mod command;
mod databases;
mod print;

pub use command::Keys;
