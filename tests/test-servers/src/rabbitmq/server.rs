use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{files::Files, member::Member, probe};
use crate::{files, keeper::Keeper, ports, postgres::output, programs::RabbitMqPrograms, wait};

const NODE: &str = "RabbitMQ";
const EPMD: &str = "epmd";

/// The options of a node.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Enables the management plugin, with its UI and HTTP API.
    pub management: bool,
    /// Enables the plugin that serves metrics to Prometheus.
    pub prometheus: bool,
    /// More lines for `rabbitmq.conf`. They override the defaults of this module.
    pub config: Vec<String>,
    /// Also opens a port for AMQP over TLS, with this certificate.
    pub tls: Option<Certificate>,
    /// A file of definitions that is imported at every start. A new node then creates neither its default user nor its
    /// default virtual host: the file must contain them, and `credentials` must be one of its users.
    pub definitions: Option<PathBuf>,
    /// The user in the URLs. By default, a user with a random password is created.
    pub credentials: Option<Credentials>,
    /// Size of the node's data disk in MiB. It is a tmpfs, which only root may mount (see [`crate::disk`]).
    pub disk_megabytes: Option<u32>,
}

/// The certificate of the node, in PEM. It does not request certificates from clients.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its certificate, and the intermediate ones up to the authority.
    pub chain: String,
    /// The private key of the first one.
    pub key: String,
}

/// A user of RabbitMQ. Name and password are used in URLs without encoding.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

/// A running RabbitMQ node. Dropping it stops the node and removes its data.
#[derive(Debug)]
pub struct RabbitMq {
    keeper: Keeper,
    programs: RabbitMqPrograms,
    credentials: Credentials,
    member: Member,
    node: Files,
    version: String,
}

/// The ports of a node, all on 127.0.0.1.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) tls: Option<u16>,
    pub(super) management: Option<u16>,
    pub(super) prometheus: Option<u16>,
    /// For connections of other Erlang nodes, such as `rabbitmqctl`.
    pub(super) distribution: u16,
    /// Of the port mapper, which the nodes of a cluster share.
    pub(super) epmd: u16,
}

impl RabbitMq {
    /// Starts a fresh node. Returns when it has accepted an AMQP connection (and, with management, an HTTP request).
    ///
    /// # Errors
    /// If the programs are missing, or the node does not start; the error contains the tail of its log.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_as(options, Member::single()?)
    }

    pub(super) fn start_as(options: Options, member: Member) -> Result<Self> {
        let programs = RabbitMqPrograms::find()?;
        let mut keeper = Keeper::new("rabbitmq", "KILL", &["rabbitmq", "nobody"])?;
        let free = |wanted: bool| wanted.then(ports::free).transpose();
        let ports = Ports {
            amqp: ports::free()?,
            tls: free(options.tls.is_some())?,
            management: free(options.management)?,
            prometheus: free(options.prometheus)?,
            distribution: ports::free()?,
            epmd: member.epmd,
        };
        let credentials = match options.credentials.clone() {
            Some(credentials) => credentials,
            None => Credentials { user: "test".to_owned(), password: files::secret()? },
        };
        let node = Files::write(keeper.directory(), keeper.account(), &options, &credentials, (ports, &member))?;
        options.disk_megabytes.map_or(Ok(()), |megabytes| keeper.limit_disk(megabytes))?;
        let mut rabbitmq = Self { keeper, programs, credentials, member, node, version: String::new() };
        if rabbitmq.member.is_first() {
            rabbitmq.start_epmd()?;
        }
        rabbitmq.restart()?;
        Ok(rabbitmq)
    }

    /// Returns the URL for AMQP clients, with the user and the virtual host `/`.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        let Credentials { user, password } = &self.credentials;
        format!("amqp://{user}:{password}@127.0.0.1:{}/%2f", self.node.ports.amqp)
    }

    /// Returns the URL for AMQP over TLS to `host`, which must be a name of 127.0.0.1. `None` without a certificate.
    #[must_use]
    pub fn amqps_url(&self, host: &str) -> Option<String> {
        let Credentials { user, password } = &self.credentials;
        self.node.ports.tls.map(|port| format!("amqps://{user}:{password}@{host}:{port}/%2f"))
    }

    /// Returns the URL of the management UI, with the user in it; its API is at `/api`. `None` without the plugin.
    #[must_use]
    pub fn management_url(&self) -> Option<String> {
        let Credentials { user, password } = &self.credentials;
        self.node.ports.management.map(|port| format!("http://{user}:{password}@127.0.0.1:{port}"))
    }

    /// Returns the URL of the metrics. `None` without the plugin.
    #[must_use]
    pub fn metrics_url(&self) -> Option<String> {
        self.node.ports.prometheus.map(|port| format!("http://127.0.0.1:{port}/metrics"))
    }

    /// Returns the AMQP port on 127.0.0.1. It stays the same after [`Self::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.ports.amqp
    }

    /// Returns the temporary directory with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }

    /// Returns the version, such as `3.10.8`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the process of the node, if it was started and not waited for.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.keeper.process(NODE)
    }

    /// Returns the name of the node, such as `node-1@127.0.0.1`.
    #[must_use]
    pub fn name(&self) -> String {
        self.member.name()
    }

    pub(super) fn cluster_address(&self) -> Result<std::net::Ipv4Addr> {
        self.member.address()
    }

    /// Runs `rabbitmqctl` on this node and returns its output. This takes about a second, because it starts an Erlang
    /// VM.
    ///
    /// # Errors
    /// If it fails; the error contains its output.
    pub fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        self.tool("rabbitmqctl", args)
    }

    /// Runs another of RabbitMQ's command-line tools, such as `rabbitmq-queues`, like [`Self::rabbitmqctl`].
    ///
    /// # Errors
    /// If it fails; the error contains its output.
    pub fn tool(&self, name: &str, args: &[&str]) -> Result<String> {
        let program = self.programs.rabbitmqctl.with_file_name(name);
        output(self.keeper.command(&program)?.envs(&self.node.environment).args(args))
    }

    /// Kills the node with SIGKILL, as in a crash. Messages that it has confirmed are there after the next start.
    ///
    /// # Errors
    /// If the signal cannot be sent. It is not an error if the node has already ended.
    pub fn kill(&mut self) -> Result<()> {
        self.keeper.end(NODE, "KILL")
    }

    /// Stops the node in an orderly way, which takes some seconds. Its data is kept for [`Self::restart`].
    ///
    /// # Errors
    /// If the signal cannot be sent. It is not an error if the node has already ended.
    pub fn stop(&mut self) -> Result<()> {
        self.keeper.end(NODE, "TERM")
    }

    /// Starts the node again with its data and its ports. Returns under the same conditions as [`Self::start`].
    ///
    /// # Errors
    /// If it is running, or does not start; the error contains the tail of its log.
    pub fn restart(&mut self) -> Result<()> {
        let log = self.keeper.directory().join("log");
        let log_file = fs::File::options().create(true).append(true).open(&log)?;
        let mut command = self.keeper.command(&self.programs.rabbitmq_server)?;
        command.envs(&self.node.environment).stdout(log_file.try_clone()?).stderr(log_file);
        let server = self.keeper.start(NODE, &mut command)?;
        let ports = &self.node.ports;
        self.version = wait::for_start("RabbitMQ", server, &log, || {
            let version = probe::amqp(ports.amqp)?;
            ports.tls.map_or(Some(()), probe::accepts)?;
            (ports.management.is_none_or(probe::management)).then_some(version)
        })?;
        Ok(())
    }

    /// Kills the node, removes its data, and starts it like a new one with the same ports.
    ///
    /// # Errors
    /// The same as those of [`Self::restart`], and if the data cannot be removed.
    pub fn start_empty(&mut self) -> Result<()> {
        self.kill()?;
        for entry in fs::read_dir(self.keeper.data())? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
        self.restart()
    }

    /// Fills the data disk, which must be limited.
    ///
    /// # Errors
    /// If the disk is not limited, or cannot be filled.
    pub fn fill_disk(&self) -> Result<()> {
        self.keeper.disk()?.fill()
    }

    /// Frees what [`Self::fill_disk`] has filled.
    ///
    /// # Errors
    /// If nothing was filled.
    pub fn free_disk(&self) -> Result<()> {
        self.keeper.disk()?.free()
    }

    /// Starts Erlang's port mapper, through which `rabbitmqctl` finds the node. Without it, the node would start one
    /// that outlives it. This one has its own port, and ends with the node.
    fn start_epmd(&mut self) -> Result<()> {
        let log = self.keeper.directory().join("epmd.log");
        let log_file = fs::File::create(&log)?;
        let mut command = self.keeper.command(&self.programs.epmd)?;
        let addresses: Vec<_> = self.member.addresses.iter().map(ToString::to_string).collect();
        command.args(["-address", &addresses.join(","), "-port", &self.node.ports.epmd.to_string()]);
        let server = self.keeper.start(EPMD, command.stdout(log_file.try_clone()?).stderr(log_file))?;
        let port = self.node.ports.epmd;
        wait::for_start(EPMD, server, &log, || probe::accepts(port)).context("the port mapper of Erlang")
    }
}
