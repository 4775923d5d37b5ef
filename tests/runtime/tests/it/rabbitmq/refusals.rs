use std::net::TcpListener;

use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use saga_rabbitmq::RabbitMq;
use saga_runtime::{broker::Broker, broker::BrokerError};
use serde_json::json;
use shared_events::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::server::{TIMEOUT, Vhost, broker};

/// Returns the error with which `broker` cannot be used for anything.
async fn refusal(broker: &RabbitMq) -> BrokerError {
    let error = broker.subscribe(1).await.unwrap_err();
    assert_eq!(broker.publisher().await.map(|_| ()), Err(error.clone()));
    assert_eq!(broker.dead_letters(1).await.map(|_| ()), Err(error.clone()));
    assert!(!format!("{error} {error:?}").contains("a-secret"), "{error}");
    error
}

/// The parts of the error that an operator reads: which broker, what is wrong, and what to do.
fn unusable(error: &BrokerError, address: &str, wrong: &str, remedy: &str) {
    let BrokerError::Unusable { broker, wrong: problem, remedy: to_do } = error else { panic!("{error}") };
    assert_eq!(broker, address);
    assert!(problem.contains(wrong), "{problem}");
    assert!(to_do.contains(remedy), "{to_do}");
    let text = error.to_string();
    assert_eq!(text, format!("the broker {address} cannot be used: {problem}; {to_do}"));
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let vhost = Vhost::new().await;
    let user = format!("user-{}", Uuid::now_v7());
    vhost.user(&user, json!({ "password": "another" })).await;
    let error = refusal(&broker(Service::Order, vhost.url(Some((&user, "a-secret"))))).await;
    unusable(&error, &vhost.address(&user), "ACCESS_REFUSED", "check the user and the password in AMQP_URL");
}

#[tokio::test]
async fn a_missing_vhost_is_told() {
    let vhost = Vhost::new().await;
    let elsewhere = |address: String| format!("{}/no-such-vhost", address.rsplit_once('/').unwrap().0);
    let error = refusal(&broker(Service::Order, elsewhere(vhost.url(None)))).await;
    let address = elsewhere(vhost.address(vhost.administrator()));
    unusable(&error, &address, "vhost no-such-vhost not found", "check the vhost in AMQP_URL");
}

#[tokio::test]
async fn a_forbidden_vhost_is_told() {
    let vhost = Vhost::new().await;
    let user = format!("user-{}", Uuid::now_v7());
    vhost.user(&user, json!({ "password": "a-secret" })).await;
    let error = refusal(&broker(Service::Order, vhost.url(Some((&user, "a-secret"))))).await;
    unusable(&error, &vhost.address(&user), "refused for user", "give this user rights there");
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal(&broker(Service::Order, format!("amqp://order:a-secret@127.0.0.1:{port}/orders"))).await;
    let why = format!("amqp://order@127.0.0.1:{port}/orders: Connection refused (os error 111)");
    assert_eq!(error.to_string(), format!("the broker cannot be reached: {why}"));
    assert_eq!(error, BrokerError::Unreachable(why));
    let error = refusal(&broker(Service::Order, "amqp://order:a-secret@rabbit.invalid/orders".to_owned())).await;
    let BrokerError::Unreachable(why) = error else { panic!("{error}") };
    assert!(why.starts_with("amqp://order@rabbit.invalid:5672/orders: "), "{why}");
}

#[tokio::test]
async fn a_port_of_something_else_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("amqp://order@{}/orders", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_buf(&mut Vec::new()).await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = refusal(&broker(Service::Order, address.replace("order@", "order:a-secret@"))).await;
    unusable(&error, &address, "does not speak AMQP", "check the host and the port in AMQP_URL");
    answering.abort();
}

#[tokio::test]
async fn a_broker_that_hangs_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = broker(Service::Order, format!("amqp://{}/orders", listener.local_addr().unwrap()));
    let trying = tokio::spawn(async move { broker.publisher().await.map(|_| ()) });
    let (mut silent, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    silent.read_buf(&mut heard).await.unwrap();
    assert_eq!(heard, b"AMQP\0\0\x09\x01");
    trying.abort();
    // The connection is closed with the attempt: no thread continues to wait for the answer.
    let rest = tokio::time::timeout(TIMEOUT, silent.read_buf(&mut heard)).await.expect("it ends");
    assert_eq!(rest.unwrap(), 0);
}

#[tokio::test]
async fn a_queue_with_other_properties_is_told() {
    let vhost = Vhost::new().await;
    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("order".into(), durable, FieldTable::default()).await.unwrap();
    let error = vhost.broker(Service::Order).subscribe(1).await.unwrap_err();
    unusable(
        &error,
        &vhost.address(vhost.administrator()),
        "for queue 'order' in vhost",
        "create it as in rabbitmq/definitions.json",
    );
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_told() {
    let vhost = Vhost::new().await;
    vhost.import(json!({ "exchanges": [{
        "name": "order.events", "type": "fanout", "durable": true, "auto_delete": false, "internal": false, "arguments": {},
    }] })).await;
    let error = vhost.broker(Service::Order).publisher().await.map(|_| ()).unwrap_err();
    let wrong = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'order.events'";
    unusable(&error, &vhost.address(vhost.administrator()), wrong, "create it as in rabbitmq/definitions.json");
}
