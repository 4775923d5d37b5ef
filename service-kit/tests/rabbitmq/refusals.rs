use std::net::TcpListener;

use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use serde_json::json;
use service_kit::broker::{Broker, BrokerError, RabbitMq};
use shared_events::Service;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::server::{PATIENCE, Vhost, broker};

/// What an operator reads when `broker` can be used neither for publishing nor for consuming.
async fn refusal(broker: &RabbitMq) -> String {
    let BrokerError::Unreachable(why) = broker.subscribe(1).await.unwrap_err() else { panic!() };
    let Err(BrokerError::Unreachable(publisher)) = broker.publisher().await.map(|_| ()) else { panic!() };
    assert_eq!(why, publisher);
    assert!(!why.contains("a-secret"), "{why}");
    why
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let vhost = Vhost::new().await;
    let user = format!("user-{}", Uuid::now_v7());
    vhost.user(&user, json!({ "password": "another" })).await;
    let why = refusal(&broker(Service::Order, vhost.url(Some((&user, "a-secret"))))).await;
    assert!(why.contains("ACCESS_REFUSED") && why.contains(&user), "{why}");
}

#[tokio::test]
async fn a_missing_vhost_is_told() {
    let vhost = Vhost::new().await;
    let url = vhost.url(None);
    let (server, _) = url.rsplit_once('/').unwrap();
    let why = refusal(&broker(Service::Order, format!("{server}/no-such-vhost"))).await;
    assert!(why.contains("vhost") && why.contains("not found"), "{why}");
}

#[tokio::test]
async fn a_forbidden_vhost_is_told() {
    let vhost = Vhost::new().await;
    let user = format!("user-{}", Uuid::now_v7());
    vhost.user(&user, json!({ "password": "a-secret" })).await;
    let why = refusal(&broker(Service::Order, vhost.url(Some((&user, "a-secret"))))).await;
    assert!(why.contains("refused for user"), "{why}");
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let why = refusal(&broker(Service::Order, format!("amqp://order:a-secret@127.0.0.1:{port}/orders"))).await;
    assert_eq!(why, format!("amqp://order@127.0.0.1:{port}/orders: Connection refused (os error 111)"));
    let why = refusal(&broker(Service::Order, "amqp://order:a-secret@rabbit.invalid/orders".to_owned())).await;
    assert!(why.starts_with("amqp://order@rabbit.invalid:5672/orders: "), "{why}");
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
    // The connection ends with the try: nobody goes on waiting for the answer.
    let rest = tokio::time::timeout(PATIENCE, silent.read_buf(&mut heard)).await.expect("it ends");
    assert_eq!(rest.unwrap(), 0);
}

#[tokio::test]
async fn a_queue_with_other_properties_is_told() {
    let vhost = Vhost::new().await;
    let connection = Connection::connect(&vhost.url(None), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("order".into(), durable, FieldTable::default()).await.unwrap();
    let BrokerError::Unreachable(why) = vhost.broker(Service::Order).subscribe(1).await.unwrap_err() else { panic!() };
    assert!(why.contains("PRECONDITION_FAILED") && why.contains("queue 'order'"), "{why}");
}
