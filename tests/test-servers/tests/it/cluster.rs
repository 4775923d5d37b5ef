use std::net::TcpStream;

use test_servers::{
    RabbitMq,
    rabbitmq::{Options, Partition, can_cut_the_network, leader, start_cluster},
};

use crate::processes::eventually;

/// Declares a quorum queue.
const DECLARE: &str = r#"rabbit_amqqueue:declare({resource, <<"/">>, queue, <<"orders">>}, true, false,
    [{<<"x-queue-type">>, longstr, <<"quorum">>}], none, <<"test">>)."#;

/// Returns whether this node sees all of them running.
fn sees(node: &RabbitMq, all: &[RabbitMq]) -> bool {
    let status = node.rabbitmqctl(&["-q", "--formatter", "json", "cluster_status"]).unwrap_or_default();
    let running = status.split_once(r#""running_nodes":["#).and_then(|(_, rest)| Some(rest.split_once(']')?.0));
    running.is_some_and(|running| all.iter().all(|node| running.contains(&node.name())))
}

fn members(node: &RabbitMq) -> String {
    node.rabbitmqctl(&["-q", "--no-table-headers", "list_queues", "members"]).unwrap()
}

#[test]
fn a_cluster_outlives_the_partition_and_the_loss_of_a_node() {
    let options = Options { config: vec!["net_ticktime = 5".to_owned()], ..Options::default() };
    let mut nodes = start_cluster(options, 3).unwrap();
    eventually("all run", || sees(&nodes[0], &nodes));
    nodes[0].rabbitmqctl(&["eval", DECLARE]).unwrap();
    nodes.iter().for_each(|node| assert!(members(&nodes[0]).contains(&node.name())));
    let lost = (0..3).find(|node| leads(&nodes, *node) == Some(true)).unwrap();
    let other = (lost + 1) % 3;

    match can_cut_the_network() {
        Ok(()) => cut_off(&nodes, lost),
        Err(error) => eprintln!("a partition is not tested: {error:#}"),
    }

    nodes[lost].kill().unwrap();
    eventually("another node leads", || leads(&nodes, lost).is_some_and(|leads| !leads));
    let name = nodes[lost].name();
    nodes[other].tool("rabbitmq-queues", &["shrink", &name]).unwrap();
    nodes[other].rabbitmqctl(&["forget_cluster_node", &name]).unwrap();
    assert!(!members(&nodes[other]).contains(&name));
    nodes[lost].start_empty().unwrap();
    eventually("it has joined", || sees(&nodes[other], &nodes));
    nodes[other].tool("rabbitmq-queues", &["grow", &name, "all"]).unwrap();
    assert!(members(&nodes[other]).contains(&name));
}

/// Cuts a node off until it pauses.
fn cut_off(nodes: &[RabbitMq], lost: usize) {
    let others: Vec<_> = nodes.iter().filter(|node| node.name() != nodes[lost].name()).collect();
    let partition = Partition::between(&[&nodes[lost]], &others).unwrap();
    let listens = || TcpStream::connect(("127.0.0.1", nodes[lost].port())).is_ok();
    eventually("it pauses", || !listens());
    eventually("the others go on", || leader(&others, "orders").is_ok());
    drop(partition);
    eventually("it is back", || listens() && sees(others[0], nodes));
}

/// Returns whether this node leads the queue, or `None` if no node does.
fn leads(nodes: &[RabbitMq], node: usize) -> Option<bool> {
    leader(&nodes.iter().collect::<Vec<_>>(), "orders").ok().map(|leader| leader == node)
}
