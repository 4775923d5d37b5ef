//! Tests that need a server of their own: its certificate, and the alarms that block all publishers.

use std::{fs, path::Path, time::Duration};

use certificates::Authority;
use saga_rabbitmq::{RabbitMq, RabbitMqSettings};
use saga_runtime::{broker::Broker, broker::BrokerError, broker::PublishResult};
use shared_events::Service;
use test_servers::{
    RabbitMq as Node,
    rabbitmq::{Certificate, Options},
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    messages::{id, ids, messages, next, nothing_comes, publish, take},
    server::{TIMEOUT, broker, settings},
};

async fn node(options: Options) -> Node {
    spawn_blocking(|| Node::start(options)).await.unwrap().unwrap()
}

/// The certificate of a server at 127.0.0.1, without other names.
fn certificate(authority: &Authority) -> Certificate {
    let certificates::Certificate { chain, key } = authority.issue(&["127.0.0.1"]).unwrap();
    Certificate { chain, key }
}

/// Settings that trust only `authority`, whose certificate is written to `file`.
fn trusting(authority: &Authority, file: &Path, url: String) -> RabbitMqSettings {
    fs::write(file, authority.pem()).unwrap();
    RabbitMqSettings { ca_file: Some(file.to_owned()), ..settings(Service::Inventory, url) }
}

/// The parts of the error that an operator reads: the address, what is wrong and what to do.
async fn refusal(settings: &RabbitMqSettings) -> (String, String, String) {
    let broker = RabbitMq::new(settings).unwrap();
    let error = timeout(TIMEOUT, broker.subscribe(1)).await.expect("an answer").unwrap_err();
    assert_eq!(broker.publisher().await.map(|_| ()), Err(error.clone()));
    let BrokerError::Unusable { broker, wrong, remedy } = error else { panic!("{error}") };
    assert!(broker.contains("://test@"), "{broker}");
    (broker, wrong, remedy)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_right_server_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let (ours, foreign) = (Authority::create("ours", 1).unwrap(), Authority::create("foreign", 1).unwrap());
    let node = node(Options { tls: Some(certificate(&ours)), ..Options::default() }).await;
    let url = node.amqps_url("127.0.0.1").unwrap();

    let trusted = RabbitMq::new(&trusting(&ours, &file, url.clone())).unwrap();
    let mut subscription = trusted.subscribe(10).await.unwrap();
    let order = RabbitMqSettings { service: Service::Order.spec(), ..trusting(&ours, &file, url.clone()) };
    let (mut publisher, mut outcomes) = RabbitMq::new(&order).unwrap().publisher().await.unwrap();
    let sent = messages(1);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &sent).await, [PublishResult::Confirmed]);
    assert_eq!(vec![id(&next(&mut subscription).await)], ids(&sent));

    // Of several addresses, each is used with or without TLS as it says.
    for list in [format!("amqp://127.0.0.1:1/%2f,{url}"), format!("{},{url}", node.amqp_url())] {
        let several = RabbitMq::new(&trusting(&ours, &file, list)).unwrap();
        for _ in 0..2 {
            drop(several.subscribe(1).await.unwrap());
        }
    }

    let (address, wrong, remedy) = refusal(&trusting(&foreign, &file, url.clone())).await;
    assert!(address.starts_with("amqps://test@127.0.0.1:"), "{address}");
    assert!(wrong.contains("UnknownIssuer") && remedy.contains("AMQP_CA_FILE"), "{wrong}; {remedy}");
    // Without a file, the authorities of this machine are trusted, which do not include ours.
    let machine = RabbitMqSettings { ca_file: None, ..settings(Service::Inventory, url.clone()) };
    if RabbitMq::new(&machine).is_ok() {
        let (_, wrong, _) = refusal(&machine).await;
        assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    }

    let elsewhere = node.amqps_url("localhost").unwrap();
    let (address, wrong, remedy) = refusal(&trusting(&ours, &file, elsewhere)).await;
    assert!(address.starts_with("amqps://test@localhost:"), "{address}");
    assert!(
        wrong.contains("not valid for name") && remedy.contains("certificate names this host"),
        "{wrong}; {remedy}"
    );

    // Each kind of address (with and without TLS) with the port of the other kind.
    let (plain, tls) = (node.amqp_url(), url);
    let port = |url: &str| url.rsplit_once('@').unwrap().1.to_owned();
    let (_, wrong, remedy) = refusal(&trusting(&ours, &file, tls.replace(&port(&tls), &port(&plain)))).await;
    assert!(remedy.contains("the port in AMQP_URL is one for TLS"), "{wrong}; {remedy}");
    // Such a server answers with a TLS alert and closes the connection, and sometimes the close overtakes the
    // alert.
    let without_tls = RabbitMq::new(&trusting(&ours, &file, plain.replace(&port(&plain), &port(&tls)))).unwrap();
    let answered = async {
        loop {
            if let Err(BrokerError::Unusable { wrong, remedy, .. }) = without_tls.subscribe(1).await {
                return (wrong, remedy);
            }
        }
    };
    let (wrong, remedy) = timeout(TIMEOUT, answered).await.expect("an answer");
    assert!(wrong.contains("does not speak AMQP") && remedy.contains("needs amqps://"), "{wrong}; {remedy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_makes_publishers_wait_and_consumers_go_on() {
    let node = node(Options::default()).await;
    let memory = |limit: &str| drop(node.rabbitmqctl(&["set_vm_memory_high_watermark", limit]).unwrap());
    let inventory = broker(Service::Inventory, node.amqp_url());
    let mut subscription = inventory.subscribe(10).await.unwrap();
    let confirm_timeout = Duration::from_secs(2);
    let order = broker(Service::Order, node.amqp_url()).with_confirm_timeout(confirm_timeout);
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    let before = messages(3);
    assert_eq!(publish(&mut *publisher, &mut outcomes, &before).await, vec![PublishResult::Confirmed; 3]);

    memory("0");
    let sent = messages(100);
    publisher.publish(sent.clone()).await.unwrap();
    // The time during which nothing can be confirmed does not count.
    let nothing = timeout(confirm_timeout * 2, outcomes.recv()).await;
    assert!(nothing.is_err(), "the server takes nothing: {nothing:?}");
    // Meanwhile, messages in the queue are handled: acknowledgements use a connection of their own.
    take(&mut subscription, 3).await.into_iter().for_each(|delivery| delivery.receipt.acknowledge());
    drop(subscription);
    timeout(TIMEOUT, inventory.closed()).await.expect("it closes");
    let mut subscription = broker(Service::Inventory, node.amqp_url()).subscribe(100).await.unwrap();
    nothing_comes(&mut subscription).await;

    memory("0.9");
    for _ in &sent {
        let outcome = timeout(TIMEOUT, outcomes.recv()).await.expect("it goes on").expect("the connection holds");
        assert_eq!(outcome.result, PublishResult::Confirmed);
    }
    let delivered: Vec<_> = take(&mut subscription, 100).await.iter().map(id).collect();
    assert_eq!(delivered, ids(&sent));
}

/// The queue is made to forget its consumers without telling them. RabbitMQ does that by itself, but rarely, if the
/// queue is deleted and declared again at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_the_server_has_forgotten_ends() {
    let node = node(Options::default()).await;
    let inventory = broker(Service::Inventory, node.amqp_url());
    let mut subscription = inventory.subscribe(10).await.unwrap();
    let forget = r#"{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"inventory">>)),
        [ra:process_command(amqqueue:get_pid(Q),
                            rabbit_fifo:make_checkout({element(2, C), element(1, C)}, cancel, #{}))
         || C <- rabbit_amqqueue:consumers(Q)]."#;
    node.rabbitmqctl(&["eval", forget]).unwrap();
    assert!(timeout(TIMEOUT, subscription.recv()).await.expect("the subscription ends").is_none());
    let mut subscription = inventory.subscribe(10).await.unwrap();
    let order = broker(Service::Order, node.amqp_url());
    let (mut publisher, mut outcomes) = order.publisher().await.unwrap();
    publish(&mut *publisher, &mut outcomes, &messages(1)).await;
    next(&mut subscription).await.receipt.acknowledge();
}
