//! The broker, behind one trait: what the engine and the relay know of it, and no more.

mod api;
mod in_process;
pub mod rabbitmq;

pub use api::{
    Broker, BrokerError, Delivery, Outcome, Outgoing, Publication, Publisher, QueueFigures, Receipt, Subscription,
    Verdict,
};
pub use in_process::InProcessBroker;
pub use rabbitmq::{RabbitMq, RabbitMqArgs, RabbitMqSettings};
