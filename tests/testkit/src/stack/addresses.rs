//! The addresses of the servers, through the proxies to them if there are any.

use shared_events::Service;
use test_servers::{Postgres, RabbitMq};

use super::{Server, Stack};
use crate::proxy::Proxy;

impl Stack {
    /// Returns the address of a service's database, as the service uses it.
    #[must_use]
    pub fn database_url(&self, service: Service) -> String {
        self.postgres_url(service.name(), self.links.get(&(service, Server::Database)))
    }

    /// Returns the address of a database on all its servers, through these proxies to them, if there are any.
    pub(crate) fn postgres_url(&self, database: &str, proxies: Option<&Vec<Proxy>>) -> String {
        let address = |server: &Postgres| format!("127.0.0.1:{}", server.port());
        let addresses: Vec<String> = match proxies {
            Some(proxies) => proxies.iter().map(|proxy| proxy.address.to_string()).collect(),
            None => [&self.postgres].into_iter().chain(&self.standby).map(address).collect(),
        };
        let target = if addresses.len() > 1 { "?target_session_attrs=read-write" } else { "" };
        self.postgres.url(database).replace(&address(&self.postgres), &addresses.join(",")) + target
    }

    /// Returns the addresses of the broker's nodes, as a service uses them.
    #[must_use]
    pub fn amqp_url(&self, service: Service) -> String {
        let url = |(number, node): (usize, &RabbitMq)| {
            let port = node.port();
            let url = match &self.amqp {
                None => node.amqp_url(),
                Some((user, vhost)) => format!("amqp://{user}@127.0.0.1:{port}/{vhost}"),
            };
            self.linked((service, Server::Broker), number, url, port)
        };
        self.nodes().enumerate().map(url).collect::<Vec<_>>().join(",")
    }

    /// Replaces a server's address in `url` by that of the proxy to it, if there is one.
    fn linked(&self, link: (Service, Server), number: usize, url: String, port: u16) -> String {
        match self.links.get(&link).and_then(|links| links.get(number)) {
            Some(link) => url.replace(&format!("127.0.0.1:{port}/"), &format!("{}/", link.address)),
            None => url,
        }
    }
}
