//! RabbitMQ, behind the trait [`Broker`](saga_runtime::broker::Broker).
//!
//! Two connections a service (and one for its dead letters), because RabbitMQ reads nothing from a publisher that it has blocked, acknowledgements
//! included: one publishes, one consumes. Neither recovers by itself: on any error it ends, and whoever uses it opens the
//! next one. Works with RabbitMQ 3.10 and later; what must be there is in [`topology`], what a service's user must be
//! allowed is in `rabbitmq/README.md`.

mod ack_batcher;
mod broker;
mod clock;
mod connection;
mod consumer;
mod declare;
mod failure;
mod message;
mod publisher;
mod return_tracker;
mod settings;
mod watch;
mod x_death;

pub mod topology;

pub use broker::RabbitMq;
pub use settings::{RabbitMqArgs, RabbitMqSettings, SettingsError};
