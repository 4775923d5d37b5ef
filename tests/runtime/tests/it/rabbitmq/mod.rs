//! The RabbitMQ broker against a real server. `TEST_AMQP_URL` (as an administrator) and `TEST_RABBITMQ_MANAGEMENT_URL`
//! are its addresses: `cargo xtask test` starts one. Each test has a vhost of its own there. Tests that would disturb
//! the others start servers of their own.

mod connection_loss;
mod consuming;
mod dead_letters;
mod figures;
mod messages;
mod node;
mod provisioned;
mod proxy;
mod publishing;
mod refusals;
mod server;
mod several_addresses;
mod suite;
