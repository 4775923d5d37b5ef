use std::{fmt, panic, thread};

use anyhow::{Context as _, Result};

use crate::{POSTGRES_URL, Postgres, RabbitMq, postgres, rabbitmq};

/// One PostgreSQL and one RabbitMQ, which may be a cluster. `Display` shows their versions and ports, one line each.
#[derive(Debug)]
pub struct Both {
    /// The database server.
    pub postgres: Postgres,
    /// The broker, with the management plugin; of a cluster, its first node.
    pub rabbitmq: RabbitMq,
    /// The other nodes of the cluster.
    pub peers: Vec<RabbitMq>,
}

impl Both {
    /// Starts both at the same time, with this number of RabbitMQ nodes.
    ///
    /// # Errors
    /// If one does not start; the other one is stopped then.
    pub fn start(nodes: u8) -> Result<Self> {
        let broker = rabbitmq::Options { management: true, ..rabbitmq::Options::default() };
        let (postgres, rabbitmq) = thread::scope(|scope| {
            let rabbitmq = scope.spawn(|| rabbitmq::start_cluster(broker, nodes));
            let postgres = Postgres::start(postgres::Options::default());
            (postgres, rabbitmq.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
        });
        let mut peers = rabbitmq?;
        Ok(Self { postgres: postgres?, rabbitmq: peers.remove(0), peers })
    }

    /// Returns the environment variables through which tests find the servers.
    ///
    /// # Errors
    /// If the broker was started without the management plugin.
    pub fn environment(&self) -> Result<[(&'static str, String); 3]> {
        let management = self.rabbitmq.management_url().context("the broker has no management")?;
        Ok([
            (POSTGRES_URL, self.postgres.maintenance_url()),
            ("TEST_AMQP_URL", self.rabbitmq.amqp_url()),
            ("TEST_RABBITMQ_MANAGEMENT_URL", management),
        ])
    }

    /// Returns the variables as shell commands, without a final newline. Of a cluster, `AMQP_URL` has all addresses.
    ///
    /// # Errors
    /// The same as those of [`Self::environment`].
    pub fn exports(&self) -> Result<String> {
        let mut exports = self.environment()?.map(|(name, value)| format!("export {name}='{value}'")).join("\n");
        if !self.peers.is_empty() {
            let addresses: Vec<_> = self.nodes().map(RabbitMq::amqp_url).collect();
            exports += &format!("\nexport AMQP_URL='{}'", addresses.join(","));
        }
        Ok(exports)
    }

    fn nodes(&self) -> impl Iterator<Item = &RabbitMq> {
        [&self.rabbitmq].into_iter().chain(&self.peers)
    }
}

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} on port {}", self.postgres.version(), self.postgres.port())?;
        self.nodes().try_for_each(|node| {
            write!(f, "\nRabbitMQ {} on port {}", node.version(), node.port())?;
            let management = node.management_url().and_then(|url| Some(url.rsplit_once(':')?.1.to_owned()));
            management.map_or(Ok(()), |port| write!(f, ", management on port {port}"))
        })
    }
}
