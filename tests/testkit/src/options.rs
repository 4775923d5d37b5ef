//! What may be different from one stack to another.

use shared_events::Service;
use test_servers::rabbitmq;

/// What a stack is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many replicas of each service.
    pub replicas: usize,
    /// Arguments of a service.
    pub arguments: Vec<(Service, String)>,
    /// The broker.
    pub broker: rabbitmq::Options,
    /// How the services log in there, and the virtual host: `amqp://{here}`, `{service}` being the service's name.
    /// `None`: as the broker's own user, at `/`.
    pub amqp: Option<(String, String)>,
    /// Whether a [`Proxy`](crate::proxy::Proxy) is between each service and each server.
    pub proxied: bool,
    /// Whether each server has a disk of limited size, which can run full. Only root can have it so.
    pub limited_disks: bool,
}

impl Default for Options {
    fn default() -> Self {
        let broker = rabbitmq::Options { management: true, ..rabbitmq::Options::default() };
        Self { replicas: 1, arguments: Vec::new(), broker, amqp: None, proxied: false, limited_disks: false }
    }
}

impl Options {
    /// With these arguments for a service.
    #[must_use]
    pub fn with(mut self, service: Service, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (service, (*argument).to_owned())));
        self
    }
}
