//! `order-system dead-letters`: manages the dead letters of running services from the command line.

#![allow(clippy::print_stdout, reason = "what a command has to say is its output; logs go to standard error")]

mod client;
mod command;
mod print;

pub use command::DeadLetters;
