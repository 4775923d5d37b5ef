//! The whole system on servers of its own: PostgreSQL, RabbitMQ, and replicas of the three services as processes.

use std::{collections::BTreeMap, net::TcpStream, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use shared_events::Service;
use test_servers::{Postgres, RabbitMq, postgres, rabbitmq};
use tokio::{
    task::block_in_place,
    time::{Instant, interval},
};

use crate::{
    broker::Administrator,
    client::Client,
    programs::Programs,
    proxy::{Network, Proxy},
    replica::{Replica, Settings},
};

pub use crate::options::Options;

/// How long to wait for a state before that counts as a failure.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The size of a limited disk.
const DISK_MEGABYTES: u32 = 1024;

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
    /// Starts servers and services, and waits until the services are ready. `name` is the directory of the logs.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn start(name: &str, options: Options) -> Result<Self> {
        let mut stack = Self::servers(name, options).await?;
        stack.start_all()?;
        stack.ready().await?;
        Ok(stack)
    }

    /// Starts the servers only.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn servers(name: &str, options: Options) -> Result<Self> {
        let Options {
            programs,
            replicas,
            arguments,
            mut database,
            mut broker,
            broker_nodes,
            amqp,
            standby,
            proxied,
            limited_disks,
        } = options;
        let this_build = Programs::of_this_build()?;
        if limited_disks {
            limit_disks(&mut database, &mut broker);
        }
        let (postgres, rabbitmq) = block_in_place(|| {
            thread::scope(|scope| {
                let rabbitmq = scope.spawn(|| rabbitmq::start_cluster(broker, broker_nodes));
                let postgres = Postgres::start(database);
                (postgres, rabbitmq.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        });
        let (postgres, mut peers) = (postgres?, rabbitmq?);
        let rabbitmq = peers.remove(0);
        Service::ALL.iter().try_for_each(|one| block_in_place(|| postgres.create_database(one.name())).map(drop))?;
        let standby = standby.then(|| block_in_place(|| postgres.standby())).transpose()?;
        if standby.is_some() {
            block_in_place(|| postgres.wait_for_standby(true))?;
        }
        let mut links = BTreeMap::new();
        for service in Service::ALL.into_iter().filter(|_| proxied) {
            let (mut to_database, mut to_broker) = (Vec::new(), Vec::new());
            for server in [&postgres].into_iter().chain(&standby) {
                to_database.push(Proxy::to(server.port()).await?);
            }
            for node in [&rabbitmq].into_iter().chain(&peers) {
                to_broker.push(Proxy::to(node.port()).await?);
            }
            links.insert((service, Server::Database), to_database);
            links.insert((service, Server::Broker), to_broker);
        }
        // Next to the programs of this build, even if others write them.
        let logs = this_build
            .path(Service::Order.name())?
            .with_file_name("e2e-logs")
            .join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&logs)?;
        let programs = programs.unwrap_or(this_build);
        let mut stack = Self {
            postgres,
            standby,
            rabbitmq,
            peers,
            replicas: Vec::new(),
            programs,
            amqp,
            links,
            logs,
            passed: false,
        };
        for service in Service::ALL {
            for number in 0..replicas {
                let arguments = arguments.iter().filter(|(of, _)| *of == service).map(|(_, argument)| argument.clone());
                let variables = vec![
                    ("DATABASE_URL".to_owned(), stack.database_url(service)),
                    ("AMQP_URL".to_owned(), stack.amqp_url(service)),
                ];
                let log = stack.logs.join(format!("{service}-{number}.log"));
                let settings = Settings { variables, arguments: arguments.collect() };
                let program = stack.programs.path(service.name())?;
                stack.replicas.push(Replica::new(service, program, settings, log)?);
            }
        }
        Ok(stack)
    }

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

    /// Waits until all replicas that run are ready.
    ///
    /// # Errors
    /// If one is not within the time limit.
    pub async fn ready(&mut self) -> Result<()> {
        for number in 0..self.replicas.len() {
            if self.replicas[number].runs() {
                self.readiness(number, "ready", |status, _| status == 200).await?;
            }
        }
        Ok(())
    }

    /// Waits until the replica with this index in [`Self::replicas`] answers `/health/ready` with a status and a body
    /// for which `reached` is true. Returns the body.
    ///
    /// # Errors
    /// If it does not within the time limit, or has ended.
    pub async fn readiness(
        &mut self,
        number: usize,
        what: &str,
        reached: impl Fn(u16, &Value) -> bool,
    ) -> Result<Value> {
        let replica = &mut self.replicas[number];
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let (deadline, mut looks) = (Instant::now() + TIMEOUT, interval(Duration::from_millis(25)));
        loop {
            looks.tick().await;
            let answer = async {
                let answer = http.get(format!("http://{}/health/ready", replica.address)).send().await.ok()?;
                Some((answer.status().as_u16(), answer.json::<Value>().await.ok()?))
            };
            let answer = answer.await;
            match answer {
                Some((status, body)) if reached(status, &body) => return Ok(body),
                answer if Instant::now() > deadline => {
                    bail!("{replica} is not {what}, even after {TIMEOUT:?}; it says {answer:?}")
                }
                _ => ensure!(replica.runs(), "{replica} has ended by itself"),
            }
        }
    }

    /// Waits until the log of the replica with this index in [`Self::replicas`] contains this text.
    ///
    /// # Errors
    /// If it does not within the time limit.
    pub async fn says(&self, number: usize, words: &str) -> Result<()> {
        let (deadline, mut looks) = (Instant::now() + TIMEOUT, interval(Duration::from_millis(25)));
        let replica = &self.replicas[number];
        while !replica.log().contains(words) {
            ensure!(Instant::now() < deadline, "{replica} does not say {words:?}, even after {TIMEOUT:?}");
            looks.tick().await;
        }
        Ok(())
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
    let said = block_in_place(|| node.rabbitmqctl(&["eval", "dets:sync(ra_directory_reverse)."]))?;
    ensure!(said.trim() == "ok", "{said}");
    Ok(())
}

/// Limits the disks, and the size of the servers' write-ahead logs, which must leave room for the test to fill.
fn limit_disks(database: &mut postgres::Options, broker: &mut rabbitmq::Options) {
    database.disk_megabytes = Some(DISK_MEGABYTES);
    database.settings.push(("max_wal_size".to_owned(), "128MB".to_owned()));
    broker.disk_megabytes = Some(DISK_MEGABYTES);
    broker.config.push("raft.wal_max_size_bytes = 64000000".to_owned());
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
