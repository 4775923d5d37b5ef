//! A private RabbitMQ node.

mod files;
mod probe;
mod server;

pub use server::{Certificate, Credentials, Options, RabbitMq};
