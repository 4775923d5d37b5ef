//! Drives the whole system from outside, as its users do: starts the real programs, speaks HTTP to them, kills them, takes
//! their servers and their network away, asks for the audit, and measures. The tests are in `tests/`, the benchmarks in
//! `src/bin/bench/`.
//!
//! - `order-system`, the three services in one process: [`process`], [`client`], [`load`], [`open_loop`];
//! - the services as processes of their own, on servers of their own: [`stack`], [`replica`], [`proxy`], [`load`],
//!   [`consistency`], [`broker`];
//! - the same under faults that a seed composes: [`torture`].

pub mod broker;
pub mod client;
pub mod consistency;
pub mod load;
pub mod load_generator;
pub mod open_loop;
pub mod options;
pub mod process;
pub mod proxy;
pub mod replica;
mod sending;
pub mod stack;
pub mod torture;
pub mod usage;
