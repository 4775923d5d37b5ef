//! Several nodes that form a cluster.

use std::{net::Ipv4Addr, panic, process::Command, thread};

use anyhow::{Context as _, Result, ensure};

use super::{
    member::Member,
    server::{Credentials, Options, RabbitMq},
};
use crate::{files, postgres::output};

/// Starts a cluster of blank nodes, with `pause_minority`; with a `size` of 1, a single node. Returns when all have
/// accepted an AMQP connection. The first one has the port mapper of all, so keep it as long as the others; it may be
/// killed like them.
///
/// # Errors
/// If a node does not start; the others are stopped then.
pub fn start_cluster(options: Options, size: u8) -> Result<Vec<RabbitMq>> {
    let credentials = match options.credentials.clone() {
        Some(credentials) => credentials,
        None => Credentials { user: "test".to_owned(), password: files::secret()? },
    };
    let options = Options { credentials: Some(credentials), ..options };
    let mut members = Member::cluster(size)?.into_iter();
    let first = members.next().context("a cluster has nodes")?;
    let first = RabbitMq::start_as(options.clone(), first)?;
    // They find the first one, and join it.
    let others: Result<Vec<_>> = thread::scope(|scope| {
        let starts: Vec<_> =
            members.map(|member| scope.spawn(|| RabbitMq::start_as(options.clone(), member))).collect();
        starts.into_iter().map(|start| start.join().unwrap_or_else(|panic| panic::resume_unwind(panic))).collect()
    });
    let mut nodes = vec![first];
    nodes.extend(others?);
    Ok(nodes)
}

/// A cut network between nodes of a cluster: all packets between the two sides are dropped. Dropping this repairs it.
#[derive(Debug)]
pub struct Partition {
    pairs: Vec<(Ipv4Addr, Ipv4Addr)>,
}

impl Partition {
    /// Cuts the network between each node of `one` and each node of `other`. Requires `iptables` and the right to use
    /// it ([`can_cut_the_network`]).
    ///
    /// # Errors
    /// If `iptables` fails.
    pub fn between(one: &[&RabbitMq], other: &[&RabbitMq]) -> Result<Self> {
        let mut partition = Self { pairs: Vec::new() };
        for from in one {
            other.iter().try_for_each(|to| partition.cut(from, to))?;
        }
        Ok(partition)
    }

    /// Cuts the network between all these nodes, as [`Self::between`] does.
    ///
    /// # Errors
    /// If `iptables` fails.
    pub fn of_all(nodes: &[&RabbitMq]) -> Result<Self> {
        let mut partition = Self { pairs: Vec::new() };
        for (number, from) in nodes.iter().enumerate() {
            nodes[number + 1..].iter().try_for_each(|to| partition.cut(from, to))?;
        }
        Ok(partition)
    }

    fn cut(&mut self, one: &RabbitMq, other: &RabbitMq) -> Result<()> {
        let (one, other) = (one.cluster_address()?, other.cluster_address()?);
        [(one, other), (other, one)].into_iter().try_for_each(|pair| {
            rule("-I", pair)?;
            self.pairs.push(pair);
            Ok(())
        })
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        for pair in &self.pairs {
            if let Err(error) = rule("-D", *pair) {
                eprintln!("the network between {pair:?} stays cut: {error:#}");
            }
        }
    }
}

/// Checks whether this process may cut the network between nodes.
///
/// # Errors
/// If it may not, or `iptables` is not installed.
pub fn can_cut_the_network() -> Result<()> {
    // No node has this address.
    let pair = (Ipv4Addr::new(127, 0, 0, 254), Ipv4Addr::new(127, 0, 0, 253));
    rule("-I", pair)?;
    rule("-D", pair)
}

fn rule(change: &str, (from, to): (Ipv4Addr, Ipv4Addr)) -> Result<()> {
    let mut iptables = Command::new("iptables");
    iptables.args(["--wait", change, "OUTPUT", "--source", &from.to_string(), "--destination", &to.to_string()]);
    output(iptables.args(["--jump", "DROP"])).context("cannot change the rules of the network").map(drop)
}

/// Returns the index of the node that leads a quorum queue, among `nodes`. Asks the first node that answers.
///
/// # Errors
/// If no node answers, or the queue has no leader.
pub fn leader(nodes: &[&RabbitMq], queue: &str) -> Result<usize> {
    let listed = nodes.iter().find_map(|node| {
        node.rabbitmqctl(&["-q", "--no-table-headers", "--timeout", "15", "list_queues", "name", "leader"]).ok()
    });
    let listed = listed.context("no node of the cluster answers")?;
    let leader = listed.lines().find_map(|line| line.split_once('\t').filter(|(name, _)| *name == queue));
    let leader = leader.with_context(|| format!("there is no queue {queue}"))?.1.trim();
    let index = nodes.iter().position(|node| node.name() == leader);
    ensure!(!leader.is_empty(), "the queue {queue} has no leader");
    index.with_context(|| format!("{leader} is none of these nodes"))
}
