//! Start order, and wrong settings.

use anyhow::{Result, ensure};
use serde_json::Value;
use shared_events::Service;
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    programs::Programs,
    replica::bare_command,
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

use crate::missing;

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_before_their_servers_wait_for_them() -> Result<()> {
    let mut stack = Stack::servers("order-of-start", Options::default()).await?;
    block_in_place(|| stack.rabbitmq.kill())?;
    block_in_place(|| stack.postgres.crash())?;
    stack.start_all()?;
    for number in 0..3 {
        let why = |status, body: &Value| status == 503 && missing(body) == ["database", "broker", "queue"];
        stack.readiness(number, "waiting", why).await?;
        stack.says(number, "waiting for the database").await?;
        stack.says(number, "Connection refused").await?;
    }

    // A service that is stopped while it waits ends at once and gracefully.
    let status = stack.replicas[2].stop().await?;
    ensure!(status.code() == Some(0), "{status}");
    stack.says(2, "stopped before the database was there").await?;
    stack.start_all()?;

    block_in_place(|| stack.postgres.restart())?;
    for number in 0..3 {
        let named = |body: &Value| named(body, "broker") && named(body, "queue");
        let why = |status, body: &Value| status == 503 && missing(body) == ["broker", "queue"] && named(body);
        stack.readiness(number, "waiting for its broker", why).await?;
        stack.says(number, "the broker cannot be reached").await?;
    }
    block_in_place(|| stack.rabbitmq.restart())?;
    stack.ready().await?;
    let mut load = LoadGenerator::start(&mut stack, 2).await?;
    load.ended(10).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

/// Longer than a service takes to start, and short enough that an order that lost an event ends by it within the test.
const DEADLINE: &[&str] = &["--order-wait=1s", "--order-deadline=30s"];

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_service_that_has_never_been_started() -> Result<()> {
    let mut stack = Stack::servers("payment-last", Options::default().with(Service::Order, DEADLINE)).await?;
    stack.replica(Service::Order, 0)?.start()?;
    stack.replica(Service::Inventory, 0)?.start()?;
    stack.ready().await?;
    // Each of these orders has its stock reserved, and order and payment must receive that event.
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.answered(30).await?;
    stack.replica(Service::Payment, 0)?.start()?;
    stack.ready().await?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_named_in_the_log_and_on_the_readiness_page() -> Result<()> {
    let mut stack = Stack::servers("settings", Options::default()).await?;
    let (database, broker) = (stack.database_url(Service::Order), stack.amqp_url(Service::Order));
    let wrong_password = |url: &str| {
        let (before, after) = url.split_once('@').unwrap_or_default();
        format!("{}:wrong@{after}", before.rsplit_once(':').unwrap_or_default().0)
    };
    let cases = [
        ("DATABASE_URL", wrong_password(&database), "database", "password authentication failed"),
        ("DATABASE_URL", database.replace("/order", "/nowhere"), "database", "does not exist"),
        ("AMQP_URL", wrong_password(&broker), "broker", "AMQP_PASSWORD_FILE"),
        ("AMQP_URL", broker.replace("%2f", "nowhere"), "broker", "check the vhost in AMQP_URL"),
    ];
    for (variable, url, dependency, words) in cases {
        let order = stack.replica(Service::Order, 0)?;
        let variables = order.settings.variables.clone();
        order.settings.variables.push((variable.to_owned(), url));
        order.start()?;
        let why =
            |status, body: &Value| status == 503 && missing(body).contains(&dependency) && named(body, dependency);
        let body = stack.readiness(0, "telling what is wrong", why).await?.to_string();
        for private in ["127.0.0.1", "://", "nowhere", "guest", "postgres", "vhost '", "password"] {
            ensure!(!body.contains(private), "the response reveals {private:?}: {body}");
        }
        stack.says(0, words).await?;
        let order = stack.replica(Service::Order, 0)?;
        let log = order.log();
        ensure!(!log.contains(":wrong@"), "the password is in the log: {log}");
        ensure!(order.stop().await?.code() == Some(0));
        order.settings.variables = variables;
    }
    // With the right settings, it starts.
    stack.start_all()?;
    stack.ready().await?;
    stack.verified().await?;
    stack.passed();
    Ok(())
}

/// Returns whether the dependency has a detail other than the initial one.
fn named(body: &Value, dependency: &str) -> bool {
    let dependencies = body["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let detail = dependencies.iter().find(|one| one["name"] == dependency).and_then(|one| one["detail"].as_str());
    detail.is_some_and(|detail| detail != "not reached yet")
}

#[test]
fn a_missing_setting_is_named_and_the_health_check_needs_none() {
    let stderr_of = |arguments: &[&str]| {
        let order = Programs::of_this_build().unwrap().path(Service::Order.name()).unwrap();
        let output = bare_command(&order).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (arguments, words) in [
        (&[][..], "--database-url (DATABASE_URL)"),
        (&["--database-url", "sqlite:unused"], "--amqp-url (AMQP_URL)"),
        (&["health", "--listen", "127.0.0.1:1"], "cannot connect to 127.0.0.1:1"),
    ] {
        assert!(stderr_of(arguments).contains(words), "{arguments:?}: {}", stderr_of(arguments));
    }
}
