//! A broker that an administrator has provisioned, with the minimal permissions for each user; and what this
//! administrator sees of the services.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use serde_json::Value;
use shared_events::Service;
use test_servers::rabbitmq::{self, Credentials};
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};
use tokio::time::timeout;

/// The management API shows a connection some seconds after it was opened.
const STATISTICS: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn three_users_with_minimal_rights_suffice_on_a_provisioned_broker() -> Result<()> {
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rabbitmq/definitions.json");
    // A user that sees everything and may change nothing.
    let operator = Credentials { user: "operator".to_owned(), password: "operator-dev".to_owned() };
    let broker = rabbitmq::Options {
        management: true,
        definitions: Some(definitions),
        credentials: Some(operator),
        ..rabbitmq::Options::default()
    };
    let amqp = Some(("{service}:{service}-dev".to_owned(), "orders".to_owned()));
    let mut stack = Stack::start("rights", Options { broker, amqp, ..Options::default() }).await?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(50).await?;

    // Connection names show the service, the machine and the purpose.
    let administrator = stack.administrator()?;
    let connections = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(250));
        loop {
            ticks.tick().await;
            let connections = administrator.list("connections").await?;
            // Connections are listed before their properties are known.
            let names: Vec<String> = connections.iter().filter_map(client_name).collect();
            if names.len() >= 9 {
                return anyhow::Ok(names);
            }
        }
    };
    let connections = timeout(STATISTICS, connections).await.context("nine connections are not to be seen")??;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    for service in Service::ALL {
        for purpose in ["publish", "consume", "dead-letters"] {
            let name = format!("{service}@{} {purpose}", host.trim());
            ensure!(connections.contains(&name), "no {name:?} in {connections:?}");
        }
    }
    ensure!(connections.len() == 9, "{connections:?}");
    let queues = administrator.names("queues/{vhost}").await?;
    let expected = Service::ALL.iter().flat_map(|service| [service.to_string(), format!("{service}.dead-letters")]);
    let mut expected: Vec<String> = expected.collect();
    expected.sort();
    ensure!(queues == expected, "{queues:?}");
    let exchanges = administrator.names("exchanges/{vhost}").await?;
    let expected =
        Service::ALL.iter().flat_map(|service| [format!("{service}.deliveries"), format!("{service}.events")]);
    for name in expected.chain(["dead-letters".to_owned()]) {
        ensure!(exchanges.contains(&name), "no {name:?} in {exchanges:?}");
    }

    for (user, exchange) in
        [("inventory", "order.deliveries"), ("payment", "inventory.events"), ("order", ""), ("order", "dead-letters")]
    {
        let refused = publish(&stack, user, exchange).await?;
        ensure!(refused.contains("ACCESS_REFUSED"), "{user} publishes to {exchange:?}: {refused}");
    }
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

fn client_name(connection: &Value) -> Option<String> {
    Some(connection["client_properties"]["connection_name"].as_str()?.to_owned())
}

/// Tries to publish as `user`, and returns the broker's response.
async fn publish(stack: &Stack, user: &str, exchange: &str) -> Result<String> {
    let url = format!("amqp://{user}:{user}-dev@127.0.0.1:{}/orders", stack.rabbitmq.port());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let published = channel.basic_publish(exchange.into(), "inventory".into(), options, b"{}", properties).await;
    let response = match published {
        Ok(confirm) => match confirm.await {
            Ok(confirmation) => format!("{confirmation:?}"),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let _ = connection.close(200, "OK".into()).await;
    Ok(response)
}
