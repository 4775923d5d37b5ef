//! `order-system dead-letters`: manages the dead letters of running services from the command line.

#![allow(clippy::print_stdout, reason = "the output is for the user; logs go to standard error")]

mod client;
mod command;
mod print;

pub use command::DeadLetters;
pub(crate) use print::visible;
