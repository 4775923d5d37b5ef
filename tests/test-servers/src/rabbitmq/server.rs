use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{files::Files, probe};
use crate::{files, keeper::Keeper, ports, postgres::output, programs::RabbitMqPrograms, wait};

const NODE: &str = "RabbitMQ";
const EPMD: &str = "epmd";

/// What may be different from one node to another.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// With the management plugin: its UI and its HTTP API.
    pub management: bool,
    /// With the plugin that serves metrics to Prometheus.
    pub prometheus: bool,
    /// More lines for `rabbitmq.conf`; they win over the ones made here.
    pub config: Vec<String>,
    /// With a port for AMQP over TLS, too.
    pub tls: Option<Certificate>,
    /// A file of definitions, imported at every start. On a fresh node RabbitMQ then makes neither its default user nor
    /// its default virtual host: the file must have them, and `credentials` name one of its users.
    pub definitions: Option<PathBuf>,
    /// The user in the URLs; a default user with a random password where there is none.
    pub credentials: Option<Credentials>,
    /// The size of the disk under its data, in MiB. That is a tmpfs, which only root may mount (see [`crate::disk`]).
    pub disk_megabytes: Option<u32>,
}

/// What the node shows to its clients, in PEM. It asks them for none.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its certificate, and those between it and the authority.
    pub chain: String,
    /// The key of the first of them.
    pub key: String,
}

/// A user of RabbitMQ. Both parts stand in URLs as they are.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// A running RabbitMQ node. Dropped, it is stopped and its data is removed.
#[derive(Debug)]
pub struct RabbitMq {
    keeper: Keeper,
    programs: RabbitMqPrograms,
    credentials: Credentials,
    node: Files,
    version: String,
}

/// The ports of a node, all on 127.0.0.1 and its own.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) tls: Option<u16>,
    pub(super) management: Option<u16>,
    pub(super) prometheus: Option<u16>,
    /// Where Erlang nodes, `rabbitmqctl` among them, reach this one.
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

impl RabbitMq {
    /// Starts a fresh node; returns when it has taken an AMQP connection (and an HTTP request, with management).
    ///
    /// # Errors
    /// If the programs are missing, or the node does not start: with the tail of its log.
    pub fn start(options: Options) -> Result<Self> {
        let programs = RabbitMqPrograms::find()?;
        let mut keeper = Keeper::new("rabbitmq", "KILL", &["rabbitmq", "nobody"])?;
        let free = |wanted: bool| wanted.then(ports::free).transpose();
        let ports = Ports {
            amqp: ports::free()?,
            tls: free(options.tls.is_some())?,
            management: free(options.management)?,
            prometheus: free(options.prometheus)?,
            distribution: ports::free()?,
            epmd: ports::free()?,
        };
        let credentials = match options.credentials.clone() {
            Some(credentials) => credentials,
            None => Credentials { user: "test".to_owned(), password: files::secret()? },
        };
        let node = Files::write(keeper.directory(), keeper.account(), &options, &credentials, ports)?;
        options.disk_megabytes.map_or(Ok(()), |megabytes| keeper.limit_disk(megabytes))?;
        let mut rabbitmq = Self { keeper, programs, credentials, node, version: String::new() };
        rabbitmq.start_epmd()?;
        rabbitmq.start_again()?;
        Ok(rabbitmq)
    }

    /// The URL for AMQP clients: the user, and the virtual host `/`.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        let Credentials { user, password } = &self.credentials;
        format!("amqp://{user}:{password}@127.0.0.1:{}/%2f", self.node.ports.amqp)
    }

    /// The URL for AMQP over TLS to `host`, which is a name of 127.0.0.1. None without a certificate.
    #[must_use]
    pub fn amqps_url(&self, host: &str) -> Option<String> {
        let Credentials { user, password } = &self.credentials;
        self.node.ports.tls.map(|port| format!("amqps://{user}:{password}@{host}:{port}/%2f"))
    }

    /// The URL of the management UI, with the user in it; its API is `/api` below. None without the plugin.
    #[must_use]
    pub fn management_url(&self) -> Option<String> {
        let Credentials { user, password } = &self.credentials;
        self.node.ports.management.map(|port| format!("http://{user}:{password}@127.0.0.1:{port}"))
    }

    /// The URL of the metrics. None without the plugin.
    #[must_use]
    pub fn metrics_url(&self) -> Option<String> {
        self.node.ports.prometheus.map(|port| format!("http://127.0.0.1:{port}/metrics"))
    }

    /// The AMQP port on 127.0.0.1, the same one after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.ports.amqp
    }

    /// The temporary directory with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }

    /// Such as `3.10.8`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs `rabbitmqctl` on this node (about a second: it starts an Erlang of its own); returns what it printed.
    ///
    /// # Errors
    /// If it fails: what it said.
    pub fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        output(self.keeper.command(&self.programs.rabbitmqctl)?.envs(&self.node.environment).args(args))
    }

    /// SIGKILL of the node, as in a crash. Messages that it has confirmed are there after the next start.
    ///
    /// # Errors
    /// If it cannot be signalled. Not where it has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.keeper.end(NODE, "KILL")
    }

    /// Stops the node in order, which takes some seconds; its data stays for [`Self::start_again`].
    ///
    /// # Errors
    /// If it cannot be signalled. Not where it has ended already.
    pub fn stop(&mut self) -> Result<()> {
        self.keeper.end(NODE, "TERM")
    }

    /// Starts the node on its data and its ports; returns as [`Self::start`] does.
    ///
    /// # Errors
    /// If it runs, or does not start: with the tail of its log.
    pub fn start_again(&mut self) -> Result<()> {
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

    /// Ends the node, removes its data, and starts it as fresh as [`Self::start`] does, at its ports.
    ///
    /// # Errors
    /// As for [`Self::start_again`], or where the data cannot be removed.
    pub fn start_empty(&mut self) -> Result<()> {
        self.kill()?;
        for entry in fs::read_dir(self.keeper.data())? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
        self.start_again()
    }

    /// Fills the disk under its data, which must have a limit.
    ///
    /// # Errors
    /// If it has none, or cannot be filled.
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

    /// Erlang's port mapper, by which `rabbitmqctl` finds the node. A node brings one that outlives it; with this one
    /// in its place before, on a port of our own, it does not.
    fn start_epmd(&mut self) -> Result<()> {
        let log = self.keeper.directory().join("epmd.log");
        let log_file = fs::File::create(&log)?;
        let mut command = self.keeper.command(&self.programs.epmd)?;
        command.args(["-address", "127.0.0.1", "-port", &self.node.ports.epmd.to_string()]);
        let server = self.keeper.start(EPMD, command.stdout(log_file.try_clone()?).stderr(log_file))?;
        let port = self.node.ports.epmd;
        wait::for_start(EPMD, server, &log, || probe::accepts(port)).context("the port mapper of Erlang")
    }
}
