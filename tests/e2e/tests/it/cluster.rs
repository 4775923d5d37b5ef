//! RabbitMQ as a cluster of three nodes. The torture run has more faults of it: docs/reliability.md.

use std::net::TcpStream;

use anyhow::{Result, ensure};
use shared_events::Service;
use test_servers::{RabbitMq, rabbitmq::leader};
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack, queues_on_disk},
};
use tokio::task::block_in_place;

/// Returns the node that leads the queue of `service`.
fn leader_of(stack: &Stack, service: Service) -> Result<usize> {
    let nodes: Vec<&RabbitMq> = stack.nodes().collect();
    block_in_place(|| leader(&nodes, service.name()))
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_when_a_leader_is_killed_and_another_is_drained() -> Result<()> {
    let options = Options { broker_nodes: 3, ..Options::default() };
    let mut stack = Stack::start("cluster", options.with(Service::Order, &["--order-wait=1s"])).await?;
    let mut load = LoadGenerator::start(&mut stack, 8).await?;
    load.ended(50).await?;

    let killed = leader_of(&stack, Service::Order)?;
    queues_on_disk(stack.node(killed)?)?;
    block_in_place(|| stack.node(killed)?.kill())?;
    load.ended(50).await?;
    // Each service has three connections, so some were to this node.
    let lost = |replica: &testkit::replica::Replica| replica.log().contains("the connection to the broker for");
    ensure!(stack.replicas.iter().any(lost), "no service was connected to the node that leads");
    stack.ready().await?;
    block_in_place(|| stack.node(killed)?.restart())?;

    let drained = leader_of(&stack, Service::Inventory)?;
    // A node in maintenance mode has no members of queues, so those of the other two must be there first.
    for arguments in [&["--timeout", "60", "await_online_quorum_plus_one"][..], &["drain"]] {
        block_in_place(|| stack.node(drained)?.tool("rabbitmq-upgrade", arguments))?;
    }
    let port = stack.node(drained)?.port();
    ensure!(TcpStream::connect(("127.0.0.1", port)).is_err(), "a node in maintenance mode takes connections");
    load.ended(50).await?;
    ensure!(leader_of(&stack, Service::Inventory)? != drained, "a node in maintenance mode leads");
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}
