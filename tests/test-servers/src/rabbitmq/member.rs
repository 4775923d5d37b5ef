//! A node's place in its cluster.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

use crate::{files, ports};

/// How a node is known to the other nodes, and how it finds them.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The nodes of its cluster, itself among them.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Its index among them.
    index: usize,
    /// The shared secret of the nodes.
    pub(super) cookie: String,
    /// The port of the nodes' common port mapper.
    pub(super) epmd: u16,
    /// Makes the name of a single node unique.
    unique: u16,
}

impl Member {
    /// Returns the place of a node without others.
    pub(super) fn single() -> Result<Self> {
        let [epmd, unique] = [ports::free()?, ports::free()?];
        Ok(Self { addresses: vec![Ipv4Addr::LOCALHOST], index: 0, cookie: files::secret()?, epmd, unique })
    }

    /// Returns the places of the nodes of a cluster. Each has a loopback address of its own, from which it connects to
    /// the others, so that the network between any two of them can be cut ([`Partition`](super::Partition)).
    pub(super) fn cluster(size: u8) -> Result<Vec<Self>> {
        if size == 1 {
            return Ok(vec![Self::single()?]);
        }
        let (cookie, epmd) = (files::secret()?, ports::free()?);
        // A free port is different in each cluster of this machine, and so are the addresses.
        let [high, low] = epmd.to_be_bytes();
        let addresses: Vec<_> = (1..=size).map(|number| Ipv4Addr::new(127, high, low, number)).collect();
        for address in &addresses {
            TcpListener::bind((*address, 0)).with_context(|| {
                format!("{address} is no address of this machine; a cluster needs 127.0.0.0/8, which Linux has")
            })?;
        }
        let member = |index| Self { addresses: addresses.clone(), index, cookie: cookie.clone(), epmd, unique: epmd };
        Ok((0..addresses.len()).map(member).collect())
    }

    pub(super) fn has_long_name(&self) -> bool {
        self.addresses.len() > 1
    }

    /// Returns whether it has the port mapper of its cluster.
    pub(super) fn is_first(&self) -> bool {
        self.index == 0
    }

    pub(super) fn address(&self) -> Result<Ipv4Addr> {
        self.addresses.get(self.index).copied().context("a member has an address")
    }

    pub(super) fn name(&self) -> String {
        match self.addresses.get(self.index) {
            Some(address) if self.has_long_name() => name_at(*address),
            // Uses localhost because the resolver may not know the machine's name.
            _ => format!("test-{}@localhost", self.unique),
        }
    }

    /// Returns arguments of the Erlang VM: it listens at its own address only, and connects from there. The nodes of a
    /// cluster share the machine, so each has one scheduler.
    pub(super) fn erl_args(&self) -> String {
        let [a, b, c, d] = self.addresses.get(self.index).copied().unwrap_or(Ipv4Addr::LOCALHOST).octets();
        let address = format!("{{{a},{b},{c},{d}}}");
        let listen = format!("-kernel inet_dist_use_interface {address}");
        if self.has_long_name() {
            format!("{listen} -kernel inet_dist_connect_options [{{ip,{address}}}] +S 1:1")
        } else {
            listen
        }
    }

    /// Returns lines for `rabbitmq.conf`, with which a blank node joins the others. The first one of a new cluster
    /// finds nobody, and does not wait for them.
    pub(super) fn config(&self) -> String {
        if !self.has_long_name() {
            return String::new();
        }
        let mut lines = "cluster_formation.peer_discovery_backend = classic_config\n\
                         cluster_formation.discovery_retry_limit = 1\n\
                         cluster_formation.discovery_retry_interval = 100\n\
                         cluster_partition_handling = pause_minority\n"
            .to_owned();
        for (address, number) in self.addresses.iter().zip(1..) {
            lines += &format!("cluster_formation.classic_config.nodes.{number} = {}\n", name_at(*address));
        }
        lines
    }
}

/// The port mapper distinguishes nodes only by what is before the `@`.
fn name_at(address: Ipv4Addr) -> String {
    format!("node-{}@{address}", address.octets()[3])
}
