//! `order-system dead-letters`: the parked messages of running services, on the command line.

#![allow(clippy::print_stdout, reason = "what a command has to say is its output; logs go to standard error")]

mod client;
mod command;
mod print;

pub use command::DeadLetters;
