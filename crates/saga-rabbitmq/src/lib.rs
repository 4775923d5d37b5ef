//! Implements [`Broker`](saga_runtime::broker::Broker) with RabbitMQ.
//!
//! Each service uses two connections, one to publish and one to consume (and a third one for its dead letters), because
//! RabbitMQ stops reading from a connection whose publisher it has blocked, including acknowledgements. A connection
//! does not recover by itself: it ends on any error, and its user opens the next one. Works with RabbitMQ 3.10 and
//! later. [`topology`] lists what must exist at the broker; `rabbitmq/README.md` lists the permissions that a service's
//! user needs.

mod ack_batcher;
mod broker;
mod clock;
mod connection;
mod consumer;
mod declare;
mod failure;
mod message;
mod nodes;
mod publisher;
mod return_tracker;
mod settings;
mod watch;
mod x_death;

pub mod topology;

pub use broker::RabbitMq;
pub use settings::{RabbitMqArgs, RabbitMqSettings, SettingsError};

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
