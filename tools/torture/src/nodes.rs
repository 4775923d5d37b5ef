//! Faults of the nodes of a RabbitMQ cluster.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use test_servers::{
    RabbitMq,
    rabbitmq::{Partition, leader},
};
use tokio::task::block_in_place;

use super::{
    faults::{Fault, Kind, Target},
    signals::signal,
    topology::NODES,
};
use testkit::stack::{Stack, queues_on_disk};

/// How long the cluster may take to be whole again before an operator restarts the nodes that hang, and after that.
const BY_ITSELF: Duration = Duration::from_secs(60);
const WHOLE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);

/// The state that is needed to repair a fault of nodes.
#[derive(Default)]
pub(crate) struct NodeNemesis {
    /// The nodes that are killed.
    down: Vec<usize>,
    partition: Option<Partition>,
}

impl NodeNemesis {
    /// Causes the fault. Calls block the thread.
    ///
    /// # Errors
    /// If it cannot be caused. Nothing needs to be repaired then.
    pub(crate) fn begin(&mut self, stack: &mut Stack, fault: &Fault) -> Result<()> {
        block_in_place(|| match (fault.kind, fault.target) {
            (Kind::KillNode, Target::Node(number)) => self.kill(stack, &[number]),
            (Kind::KillLeader, Target::Service(service)) => {
                let number = leader(&stack.nodes().collect::<Vec<_>>(), service.name())?;
                self.kill(stack, &[number])
            }
            (Kind::KillTwoNodes, Target::Node(number)) => self.kill(stack, &[number, (number + 1) % NODES]),
            (Kind::SuspendNode, Target::Node(number)) => signal("STOP", stack.node(number)?.process()),
            (Kind::CutOffNode, Target::Node(number)) => {
                let (one, others) = divide(stack, number)?;
                self.partition = Some(Partition::between(&[one], &others)?);
                Ok(())
            }
            (Kind::CutOffAllNodes, _) => {
                self.partition = Some(Partition::of_all(&stack.nodes().collect::<Vec<_>>())?);
                Ok(())
            }
            // These repair what they break, step by step: see `end`.
            (Kind::RollingRestart | Kind::ReplaceNode, _) => Ok(()),
            (Kind::DrainNode, Target::Node(number)) => {
                stack.node(number)?.tool("rabbitmq-upgrade", &["drain"]).map(drop)
            }
            (Kind::RebalanceQueues, _) => stack.rabbitmq.tool("rabbitmq-queues", &["rebalance", "quorum"]).map(drop),
            (kind, target) => anyhow::bail!("{kind} cannot affect {target}"),
        })
    }

    /// Repairs the fault, and waits until the cluster is whole. Returns the nodes that had to be restarted, because
    /// they did not come back by themselves: RabbitMQ 3.10 sometimes hangs when it starts after a partition ("Global
    /// hang workaround" in its log).
    ///
    /// # Errors
    /// If that fails.
    pub(crate) fn end(&mut self, stack: &mut Stack, fault: &Fault) -> Result<Vec<String>> {
        block_in_place(|| {
            match (fault.kind, fault.target) {
                (Kind::SuspendNode, Target::Node(number)) => signal("CONT", stack.node(number)?.process())?,
                (Kind::DrainNode, Target::Node(number)) => {
                    stack.node(number)?.tool("rabbitmq-upgrade", &["revive"])?;
                }
                (Kind::RollingRestart, _) => (0..NODES).try_for_each(|number| restart_orderly(stack, number))?,
                (Kind::ReplaceNode, Target::Node(number)) => replace(stack, number)?,
                _ => {}
            }
            drop(self.partition.take());
            restart(stack, &std::mem::take(&mut self.down))?;
            if whole(stack, BY_ITSELF).is_ok() {
                return Ok(Vec::new());
            }
            let numbers = hanging(stack, fault.target);
            let names = stack.nodes().enumerate().filter(|(number, _)| numbers.contains(number));
            let names = names.map(|(_, node)| node.name()).collect();
            for number in &numbers {
                stack.node(*number)?.kill()?;
            }
            restart(stack, &numbers)?;
            whole(stack, WHOLE)?;
            Ok(names)
        })
    }

    fn kill(&mut self, stack: &mut Stack, numbers: &[usize]) -> Result<()> {
        for number in numbers {
            queues_on_disk(stack.node(*number)?)?;
        }
        for number in numbers {
            stack.node(*number)?.kill()?;
            self.down.push(*number);
        }
        Ok(())
    }
}

fn divide(stack: &Stack, number: usize) -> Result<(&RabbitMq, Vec<&RabbitMq>)> {
    let mut nodes: Vec<&RabbitMq> = stack.nodes().collect();
    ensure!(number < nodes.len(), "the broker has no node {number}");
    Ok((nodes.remove(number), nodes))
}

/// Restarts nodes at the same time: each may wait for another one of them.
fn restart(stack: &mut Stack, numbers: &[usize]) -> Result<()> {
    let nodes = [&mut stack.rabbitmq].into_iter().chain(&mut stack.peers).enumerate();
    let nodes = nodes.filter(|(number, _)| numbers.contains(number)).map(|(_, node)| node);
    thread::scope(|scope| {
        let starts: Vec<_> = nodes.map(|node| scope.spawn(|| node.restart())).collect();
        starts.into_iter().try_for_each(|start| start.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Restarts a node as an operator upgrades it.
fn restart_orderly(stack: &mut Stack, number: usize) -> Result<()> {
    let node = stack.node(number)?;
    node.tool("rabbitmq-upgrade", &["drain"])?;
    node.stop()?;
    node.restart()?;
    whole(stack, WHOLE)
}

/// Replaces a node that is lost with its data.
fn replace(stack: &mut Stack, number: usize) -> Result<()> {
    stack.node(number)?.kill()?;
    let (lost, others) = divide(stack, number)?;
    let name = lost.name();
    others[0].tool("rabbitmq-queues", &["shrink", &name])?;
    others[0].rabbitmqctl(&["forget_cluster_node", &name])?;
    stack.node(number)?.start_empty()?;
    let (_, others) = divide(stack, number)?;
    others[0].tool("rabbitmq-queues", &["grow", &name, "all"]).map(drop)
}

/// Waits until each quorum queue has a member on each node. A node that has paused itself takes a while to come back.
fn whole(stack: &Stack, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    for node in stack.nodes() {
        while let Err(error) = is_whole(node) {
            if Instant::now() > deadline {
                return Err(error.context(format!("{} is not whole, even after {within:?}", node.name())));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Returns the nodes that an operator restarts: those on which RabbitMQ is not started, or else the affected one.
fn hanging(stack: &Stack, target: Target) -> Vec<usize> {
    let is_up = |node: &RabbitMq| node.tool("rabbitmq-diagnostics", &["--timeout", "20", "check_running"]).is_ok();
    let down: Vec<usize> =
        stack.nodes().enumerate().filter(|(_, node)| !is_up(node)).map(|(number, _)| number).collect();
    match target {
        Target::Node(number) if down.is_empty() => vec![number],
        _ if down.is_empty() => (0..NODES).collect(),
        _ => down,
    }
}

/// Checks that all members of the queues of this node are online.
fn is_whole(node: &RabbitMq) -> Result<()> {
    node.tool("rabbitmq-upgrade", &["--timeout", "20", "await_online_quorum_plus_one"]).map(drop)
}
