//! The options of a stack.

use shared_events::Service;
use test_servers::{postgres, rabbitmq};

use crate::programs::Programs;

/// What a stack consists of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The programs of the services, and of the audit. `None` means those of this build.
    pub programs: Option<Programs>,
    /// The number of replicas of each service.
    pub replicas: usize,
    /// Command-line arguments of each service.
    pub arguments: Vec<(Service, String)>,
    /// The database server.
    pub database: postgres::Options,
    /// The broker.
    pub broker: rabbitmq::Options,
    /// The number of nodes of the broker. More than one are a cluster.
    pub broker_nodes: u8,
    /// The user (`name:password`) and the virtual host with which the services connect to the broker. `{service}`
    /// stands for the name of the service. `None` means the broker's own user and the virtual host `/`.
    pub amqp: Option<(String, String)>,
    /// Whether the database server has a synchronous standby, and the services know both.
    pub standby: bool,
    /// Whether a [`Proxy`](crate::proxy::Proxy) is between each service and each server.
    pub proxied: bool,
    /// Whether each server has a disk of limited size, which can become full. Requires root.
    pub limited_disks: bool,
}

impl Default for Options {
    fn default() -> Self {
        let broker = rabbitmq::Options { management: true, ..rabbitmq::Options::default() };
        Self {
            programs: None,
            replicas: 1,
            arguments: Vec::new(),
            database: postgres::Options::default(),
            broker,
            broker_nodes: 1,
            amqp: None,
            standby: false,
            proxied: false,
            limited_disks: false,
        }
    }
}

impl Options {
    /// Adds these arguments for a service.
    #[must_use]
    pub fn with(mut self, service: Service, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (service, (*argument).to_owned())));
        self
    }
}
