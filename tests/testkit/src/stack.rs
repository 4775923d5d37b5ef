//! The whole system on servers of its own: PostgreSQL, RabbitMQ, and replicas of the three services as processes.

mod addresses;
mod start;
mod wait;

use std::{collections::BTreeMap, net::TcpStream, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use shared_events::Service;
use test_servers::{Postgres, RabbitMq};
use tokio::task::block_in_place;

use crate::{
    broker::Administrator,
    client::Client,
    programs::Programs,
    proxy::{Network, Proxy},
    replica::Replica,
};

pub use crate::options::Options;

/// How long to wait for a state before that counts as a failure.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// PostgreSQL.
    Database,
    /// RabbitMQ.
    Broker,
}

/// Servers and services. Calls that start and stop servers block their thread, so it needs a runtime
/// with several threads.
#[derive(Debug)]
pub struct Stack {
    /// The database server, with a database for each service, named after it.
    pub postgres: Postgres,
    /// The standby of the database server, if there is one.
    pub standby: Option<Postgres>,
    /// The broker; of a cluster, its first node.
    pub rabbitmq: RabbitMq,
    /// The other nodes of the cluster.
    pub peers: Vec<RabbitMq>,
    /// All replicas of order, then those of inventory, then those of payment; those that were added later come last.
    pub replicas: Vec<Replica>,
    pub(crate) programs: Programs,
    amqp: Option<(String, String)>,
    /// The proxies to each node of each server.
    links: BTreeMap<(Service, Server), Vec<Proxy>>,
    logs: PathBuf,
    /// Whether its logs can be removed, because the test has succeeded.
    passed: bool,
}

impl Stack {
    /// Promotes the standby. From now on it is [`Self::postgres`], and the old primary, in whatever state it is, is
    /// [`Self::standby`].
    ///
    /// # Errors
    /// If there is no standby, or it cannot be promoted.
    pub fn promote(&mut self) -> Result<()> {
        let standby = self.standby.as_mut().context("there is no standby")?;
        block_in_place(|| standby.promote())?;
        std::mem::swap(&mut self.postgres, standby);
        Ok(())
    }

    /// Makes the old primary, in whatever state it is, a synchronous standby of the new one.
    ///
    /// # Errors
    /// If there is none, or it does not start.
    pub fn rejoin(&mut self) -> Result<()> {
        let standby = self.standby.as_mut().context("there is no standby")?;
        block_in_place(|| standby.rejoin(&self.postgres).and_then(|()| self.postgres.wait_for_standby(true)))
    }

    /// Returns the nodes of the broker.
    pub fn nodes(&self) -> impl Iterator<Item = &RabbitMq> {
        [&self.rabbitmq].into_iter().chain(&self.peers)
    }

    /// Returns the node of the broker with this number, from 0.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn node(&mut self, number: usize) -> Result<&mut RabbitMq> {
        let nodes = [&mut self.rabbitmq].into_iter().chain(&mut self.peers);
        nodes.into_iter().nth(number).with_context(|| format!("the broker has no node {number}"))
    }

    /// Sets the state of the network between a service and a server from now on.
    ///
    /// # Errors
    /// If there is no proxy.
    pub fn network(&self, service: Service, server: Server, network: Network) -> Result<()> {
        let links = self.links.get(&(service, server)).context("the stack has no proxies")?;
        links.iter().for_each(|link| link.set(network));
        Ok(())
    }

    /// Returns the management API of the broker; of a cluster, that of the first node which takes connections.
    ///
    /// # Errors
    /// If it has none.
    pub fn administrator(&self) -> Result<Administrator> {
        let node = self.nodes().find(|node| TcpStream::connect(("127.0.0.1", node.port())).is_ok());
        let url = node.unwrap_or(&self.rabbitmq).management_url().context("the broker has no management")?;
        Administrator::new(url, self.amqp.as_ref().map_or("/", |(_, vhost)| vhost))
    }

    /// Returns the replica of a service with this number, from 0.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn replica(&mut self, service: Service, number: usize) -> Result<&mut Replica> {
        let mut replicas = self.replicas.iter_mut().filter(|replica| replica.service == service);
        replicas.nth(number).with_context(|| format!("there is no {service} {number}"))
    }

    /// Adds one more process of a service, not started, whose environment is changed by `change`. Returns its index in
    /// [`Self::replicas`]. Its log is a file of its own, `{service}-{name}.log`.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn another(
        &mut self,
        service: Service,
        name: &str,
        change: impl FnOnce(&mut Vec<(String, String)>),
    ) -> Result<usize> {
        let mut settings = self.replica(service, 0)?.settings.clone();
        change(&mut settings.variables);
        let log = self.logs.join(format!("{service}-{name}.log"));
        self.replicas.push(Replica::new(service, self.programs.path(service.name())?, settings, log)?);
        Ok(self.replicas.len() - 1)
    }

    /// Returns a client of the replicas of order, inventory and payment with this number.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn client(&mut self, number: usize) -> Result<Client> {
        let mut addresses = Vec::new();
        for service in Service::ALL {
            addresses.push(self.replica(service, number)?.address);
        }
        Client::new([addresses[0], addresses[1], addresses[2]])
    }

    /// Starts all replicas that do not run.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        self.replicas.iter_mut().filter_map(|replica| (!replica.runs()).then(|| replica.start())).collect()
    }

    /// Makes the broker write the names of its quorum queues to the disk. RabbitMQ 3.10 does so only minutes after a
    /// queue was created, or when it stops. After a crash, a queue whose name is not on the disk is empty, has no
    /// leader and does not answer (<https://github.com/rabbitmq/rabbitmq-server/issues/15725>). Here, a broker crashes
    /// within minutes of its start.
    ///
    /// # Errors
    /// If `rabbitmqctl` fails.
    pub fn queues_on_disk(&self) -> Result<()> {
        queues_on_disk(&self.rabbitmq)
    }

    /// Records that the test has succeeded, so that the logs can be removed.
    pub fn passed(&mut self) {
        self.passed = true;
    }
}

/// As [`Stack::queues_on_disk`], for one node.
///
/// # Errors
/// If `rabbitmqctl` fails.
pub fn queues_on_disk(node: &RabbitMq) -> Result<()> {
    let output = block_in_place(|| node.rabbitmqctl(&["eval", "dets:sync(ra_directory_reverse)."]))?;
    ensure!(output.trim() == "ok", "{output}");
    Ok(())
}

/// Shows the ends of the logs, unless the test has passed.
impl Drop for Stack {
    fn drop(&mut self) {
        if self.passed {
            let _ = std::fs::remove_dir_all(&self.logs);
            return;
        }
        let _ = std::fs::copy(self.postgres.directory().join("log"), self.logs.join("postgres.log"));
        for (number, node) in self.nodes().enumerate() {
            let _ = std::fs::copy(node.directory().join("log"), self.logs.join(format!("rabbitmq-{number}.log")));
        }
        for replica in &self.replicas {
            let log = replica.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("\n--- {replica}: the end of its log in {}", self.logs.display());
            lines[lines.len().saturating_sub(15)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
