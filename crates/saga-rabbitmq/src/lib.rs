//! RabbitMQ, behind the trait [`Broker`](saga_runtime::broker::Broker).
//!
//! Two connections a service (and one for its dead letters), because RabbitMQ reads nothing from a publisher that it has blocked, acknowledgements
//! included: one publishes, one consumes. Neither recovers by itself: on any error it ends, and whoever uses it opens the
//! next one. Works with RabbitMQ 3.10 and later; what must be there is in [`topology`], what a service's user must be
//! allowed is in `rabbitmq/README.md`.

mod broker;
mod clock;
mod connection;
mod consumer;
mod death;
mod declare;
mod ledger;
mod message;
mod publisher;
mod settings;
mod trouble;
mod verdicts;
mod watch;

pub mod topology;

pub use broker::RabbitMq;
pub use settings::{RabbitMqArgs, RabbitMqSettings, SettingsError};
