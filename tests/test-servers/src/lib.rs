//! Private PostgreSQL and RabbitMQ servers for tests and benchmarks.
//!
//! [`Postgres`] and [`RabbitMq`] are private servers: each has fresh data in a temporary directory, free ports on
//! 127.0.0.1, a random password, and the durability settings of an ordinary installation. Several can run at the same
//! time, started by root or by an ordinary user. A server that already runs on the machine is neither used nor changed.
//! [`ChromeDriver`] is one that starts browsers, [`HaProxy`] a load balancer. [`programs::ensure`] installs the
//! programs of the servers if they are missing, [`programs::ensure_browser`] and [`programs::ensure_haproxy`] the
//! others; [`Both`] is one server of each kind. [`rabbitmq::start_cluster`] starts several RabbitMQ nodes as one
//! broker, whose network can be cut.
//!
//! *Guaranteed:* a server and its data are gone when its value is dropped **or when the process that started it has
//! ended**, whether by a panic, Ctrl-C or SIGKILL (`keeper.rs` explains how). [`Postgres::crash`] and
//! [`RabbitMq::kill`] are crashes: everything that was confirmed to a client as durable is there after `restart`.
//!
//! *Not guaranteed:* that the data survives a crash of the machine, and anything outside Unix.
//!
//! All calls block. In an async test, use `spawn_blocking`, or start the servers first.
#![forbid(unsafe_code)]

mod account;
mod both;
mod chromedriver;
mod database;
pub mod disk;
mod files;
mod haproxy;
mod install;
mod keeper;
mod ports;
pub mod postgres;
pub mod programs;
pub mod rabbitmq;
mod wait;

pub use both::Both;
pub use chromedriver::ChromeDriver;
pub use database::{POSTGRES_URL, create_database, create_databases};
pub use haproxy::HaProxy;
pub use ports::free as free_port;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
