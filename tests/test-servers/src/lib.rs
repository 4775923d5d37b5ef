//! Private PostgreSQL and RabbitMQ servers for tests and benchmarks.
//!
//! [`Postgres`] and [`RabbitMq`] each are a server of their own: fresh data in a temporary directory, free ports on
//! 127.0.0.1, a random password, settings that decide about durability as in an ordinary installation. Several run at a
//! time, started by root or by an ordinary user, and a server that runs on the machine anyway is neither used nor
//! touched. [`programs::ensure`] brings the programs where they are missing; [`Both`] is one server of each kind.
//!
//! *Guaranteed:* whatever was started is gone, with its data, when its value is dropped **or when the process that
//! started it has ended**, be it by a panic, Ctrl-C or SIGKILL (`keeper.rs` says how). [`Postgres::stop_immediately`]
//! and [`RabbitMq::kill`] are crashes: what a client was told is durable is there after `start_again`.
//!
//! *Not guaranteed:* survival of the data if the machine itself crashes meanwhile, and anything outside Unix.
//!
//! All calls block; in an async test, `spawn_blocking` or start the servers first.
#![forbid(unsafe_code)]

mod account;
mod both;
mod database;
pub mod disk;
mod files;
mod install;
mod keeper;
mod ports;
pub mod postgres;
pub mod programs;
pub mod rabbitmq;
mod wait;

pub use both::Both;
pub use database::{POSTGRES_URL, create_database};
pub use ports::free as free_port;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
