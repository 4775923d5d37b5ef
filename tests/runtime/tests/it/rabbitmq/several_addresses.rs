//! A broker with several addresses. The nodes are proxies to one server; `tests/e2e` has a real cluster.

use std::net::TcpListener;

use saga_rabbitmq::RabbitMq;
use saga_runtime::{broker::Broker, broker::BrokerError, broker::PublishResult};
use shared_events::Service;
use tokio::time::timeout;

use super::{
    messages::{id, ids, messages, next, publish},
    proxy::Proxy,
    server::{TIMEOUT, Vhost, broker},
};

/// A port that nothing listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn with_addresses(service: Service, addresses: &[&str]) -> RabbitMq {
    broker(service, addresses.join(","))
}

#[tokio::test]
async fn an_address_that_refuses_or_hangs_is_passed_over() {
    let vhost = Vhost::new().await;
    // It accepts connections, because the kernel does, and never answers, like a suspended node.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = [closed_port(), silent.local_addr().unwrap().port()];
    let [closed, silent] = bad.map(|port| format!("amqp://order:a-secret@127.0.0.1:{port}/{}", vhost.name));
    let good = vhost.url(None);
    let order = with_addresses(Service::Order, &[&closed, &silent, &good]);
    // Each of them begins with another address.
    let _subscription = order.subscribe(1).await.unwrap();
    let _dead_letters = order.dead_letters(1).await.unwrap().unwrap();
    drop(vhost.broker(Service::Inventory).subscribe(1).await.unwrap());
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    assert_eq!(publish(&mut *publisher, &mut outcomes, &messages(1)).await, [PublishResult::Confirmed]);
}

#[tokio::test]
async fn if_no_address_can_be_used_the_error_names_all() {
    let vhost = Vhost::new().await;
    let address = |user: &str, port: u16| format!("amqp://{user}@127.0.0.1:{port}/{}", vhost.name);
    let ports = [closed_port(), closed_port()];
    let [one, two] = ports.map(|port| address("order:a-secret", port));
    let error = with_addresses(Service::Order, &[&one, &two]).subscribe(1).await.unwrap_err();
    let BrokerError::Unreachable(why) = &error else { panic!("{error}") };
    for port in ports {
        let refused = format!("{}: Connection refused (os error 111)", address("order", port));
        assert!(why.contains(&refused), "{why}");
    }

    // What an operator has to do comes first.
    let wrong_password = vhost.url(Some((vhost.administrator(), "a-secret")));
    let error = with_addresses(Service::Order, &[&one, &wrong_password, &two]).subscribe(1).await.unwrap_err();
    let BrokerError::Unusable { broker, wrong, remedy } = &error else { panic!("{error}") };
    assert_eq!(*broker, vhost.address(vhost.administrator()));
    assert!(wrong.starts_with("ACCESS_REFUSED") && remedy.contains("check the user and the password"), "{error}");
    for port in ports {
        assert!(wrong.contains(&format!("{}: Connection refused", address("order", port))), "{wrong}");
    }
    assert!(!format!("{error} {error:?}").contains("a-secret"), "{error}");
}

#[tokio::test]
async fn connections_are_spread_and_go_elsewhere_if_their_node_is_gone() {
    let vhost = Vhost::new().await;
    let (one, two) = (Proxy::to(&vhost).await, Proxy::to(&vhost).await);
    let inventory = with_addresses(Service::Inventory, &[&one.url(), &two.url()]);
    let mut subscriptions = [inventory.subscribe(1).await.unwrap(), inventory.subscribe(1).await.unwrap()];
    drop(one);
    // One of the two was there.
    let [first, second] = &mut subscriptions;
    let ended = async {
        tokio::select! { end = first.recv() => end.is_none(), end = second.recv() => end.is_none() }
    };
    assert!(timeout(TIMEOUT, ended).await.expect("it ends"));
    let mut again = inventory.subscribe(10).await.unwrap();

    let order =
        with_addresses(Service::Order, &[&format!("amqp://127.0.0.1:{}/{}", closed_port(), vhost.name), &two.url()]);
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    let sent = messages(3);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, vec![PublishResult::Confirmed; 3]);
    let [first, second] = &mut subscriptions;
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let delivery = tokio::select! {
            Some(delivery) = first.recv() => delivery,
            Some(delivery) = second.recv() => delivery,
            delivery = next(&mut again) => delivery,
        };
        received.push(id(&delivery));
        delivery.receipt.acknowledge();
    }
    received.sort();
    assert_eq!(received, ids(&sent));
}
