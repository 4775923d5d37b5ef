//! Private RabbitMQ nodes, single ones and clusters.

mod cluster;
mod files;
mod member;
mod probe;
mod server;

pub use cluster::{Partition, can_cut_the_network, leader, start_cluster};
pub use server::{Certificate, Credentials, Options, RabbitMq};
