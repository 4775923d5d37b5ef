//! Declares what a service needs at the broker, or checks that it exists.

use std::{convert::Infallible, time::Duration};

use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use super::{
    failure::{BrokerFailure, PROVISION, Phase, Refusal, explain},
    topology::{Argument, Exchange, ExchangeType, Queue, Topology},
};

/// Makes sure that everything in `topology` exists. Any number of services may call this at the same time.
///
/// If the user may declare, everything is declared, and an object that exists with other properties is an error. If the
/// user may not, an administrator has provisioned the broker, and this only checks that everything exists. AMQP shows
/// neither properties nor bindings to such a user. (A missing binding becomes visible at the publisher, whose messages
/// for this queue are unroutable.)
pub(crate) async fn ensure(connection: &Connection, topology: &Topology) -> Result<(), BrokerFailure> {
    match declare(connection, topology).await {
        Ok(()) => Ok(()),
        Err(error) if Refusal::of(&error) == Some(Refusal::NotAllowed) => {
            tracing::debug!(reason = explain(&error), "the broker is provisioned by others; checking only");
            check(connection, topology).await
        }
        Err(error) => Err(failed(&error)),
    }
}

async fn declare(connection: &Connection, topology: &Topology) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    declare_exchanges(&channel, topology).await?;
    for queue in &topology.queues {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.name.as_str().into(), options, arguments(queue)).await?;
    }
    bind(&channel, topology).await?;
    unbind_obsolete(&channel, topology).await?;
    channel.close(200, "OK".into()).await
}

async fn declare_exchanges(channel: &Channel, topology: &Topology) -> lapin::Result<()> {
    for Exchange { name, kind } in &topology.exchanges {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.as_str().into(), (*kind).into(), options, FieldTable::default()).await?;
    }
    Ok(())
}

async fn bind(channel: &Channel, topology: &Topology) -> lapin::Result<()> {
    for binding in &topology.bindings {
        let (queue, exchange, key) = (&*binding.queue, &*binding.exchange, &*binding.routing_key);
        channel
            .queue_bind(queue.into(), exchange.into(), key.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    Ok(())
}

/// Removes obsolete bindings. RabbitMQ also accepts this if the binding or the exchange does not exist.
async fn unbind_obsolete(channel: &Channel, topology: &Topology) -> lapin::Result<()> {
    for binding in &topology.obsolete {
        let (queue, exchange, key) = (&*binding.queue, &*binding.exchange, &*binding.routing_key);
        channel.queue_unbind(queue.into(), exchange.into(), key.into(), FieldTable::default()).await?;
    }
    Ok(())
}

/// Interval at which declarations are repeated, because the broker does not report that an exchange or a binding was
/// deleted.
const REDECLARE_INTERVAL: Duration = Duration::from_secs(15);

/// How long a repeated declaration may take. A node that is cut off from the other nodes of its cluster keeps its
/// connections for a minute, without an answer and without deliveries.
const REDECLARE_TIMEOUT: Duration = Duration::from_secs(15);

/// Declares exchanges and bindings again at an interval, until that fails. The broker tells a consumer that its queue
/// was deleted, but not that an exchange and its bindings were; without this, the queue would stay empty forever.
pub(crate) async fn keep_bound(connection: &Connection, topology: &Topology) -> BrokerFailure {
    let mut ticks = interval_at(Instant::now() + REDECLARE_INTERVAL, REDECLARE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let declared = async {
            let channel = connection.create_channel().await?;
            declare_exchanges(&channel, topology).await?;
            bind(&channel, topology).await?;
            channel.close(200, "OK".into()).await
        };
        match timeout(REDECLARE_TIMEOUT, declared).await {
            Ok(Ok(())) => {}
            // The administrator who provisioned the broker is responsible for them.
            Ok(Err(error)) if Refusal::of(&error) == Some(Refusal::NotAllowed) => return std::future::pending().await,
            Ok(Err(error)) => return failed(&error),
            Err(_) => return BrokerFailure::Lost(format!("no answer within {REDECLARE_TIMEOUT:?}")),
        }
    }
}

/// How long a publisher waits for its consumers' queues to be declared. A queue without a leader does not answer, and
/// must not delay the events for the other consumers.
const CONSUMERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Minimum time between two declarations that are triggered by unroutable messages.
const DECLARED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Whether the queues and bindings of a publisher's consumers are declared.
#[derive(Debug)]
pub(crate) enum ConsumersDeclared {
    Yes,
    /// This user may not declare; an administrator has provisioned the broker.
    NotAllowed,
    /// The declaration failed, for this reason. The consumer has to fix it; the publisher continues.
    No(String),
}

/// Declares the queues and bindings of a publisher's consumers, so that messages are kept for a consumer that has never
/// been started. No message is lost if this fails: a message without a queue is unroutable and stays in the outbox.
pub(crate) async fn declare_consumers(
    connection: &Connection,
    topology: &Topology,
) -> Result<ConsumersDeclared, BrokerFailure> {
    match timeout(CONSUMERS_TIMEOUT, declare(connection, topology)).await {
        Ok(Ok(())) => Ok(ConsumersDeclared::Yes),
        Ok(Err(error)) if Refusal::of(&error) == Some(Refusal::NotAllowed) => Ok(ConsumersDeclared::NotAllowed),
        Ok(Err(error)) => match failed(&error) {
            BrokerFailure::Wrong { wrong, .. } => Ok(ConsumersDeclared::No(wrong)),
            // The connection is lost, or a retry may succeed.
            failure => Err(failure),
        },
        Err(_) => Ok(ConsumersDeclared::No(format!("no answer within {CONSUMERS_TIMEOUT:?}"))),
    }
}

/// Declares the consumers' queues again every [`REDECLARE_INTERVAL`], and soon after a message was `unroutable`.
pub(crate) async fn keep_consumers_declared(
    connection: &Connection,
    topology: &Topology,
    unroutable: &Notify,
) -> Infallible {
    let mut declared = Instant::now();
    loop {
        tokio::select! {
            () = sleep_until(declared + REDECLARE_INTERVAL) => {}
            () = unroutable.notified() => sleep_until(declared + DECLARED_AGAIN_AFTER).await,
        }
        match declare_consumers(connection, topology).await {
            Ok(ConsumersDeclared::Yes) => {}
            Ok(ConsumersDeclared::NotAllowed) => return std::future::pending().await,
            // The publisher reports unroutable keys, and it notices by itself that its connection is lost.
            not_declared => tracing::debug!(?not_declared, "the consumers' queues were not declared again"),
        }
        declared = Instant::now();
    }
}

/// Checks that everything exists. The error lists all that is missing, so that it can be created in one step.
async fn check(connection: &Connection, topology: &Topology) -> Result<(), BrokerFailure> {
    let mut missing = Vec::new();
    let mut channel = connection.create_channel().await.map_err(|error| failed(&error))?;
    for exchange in &topology.exchanges {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let name = exchange.name.as_str();
        let found = channel.exchange_declare(name.into(), exchange.kind.into(), options, FieldTable::default()).await;
        if is_missing(found)? {
            missing.push(format!("the exchange {name:?}"));
            // The broker closes the channel when it reports an error.
            channel = connection.create_channel().await.map_err(|error| failed(&error))?;
        }
    }
    for queue in &topology.queues {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = queue.name.as_str();
        let found = channel.queue_declare(name.into(), options, FieldTable::default()).await;
        if is_missing(found)? {
            missing.push(format!("the queue {name:?}"));
            channel = connection.create_channel().await.map_err(|error| failed(&error))?;
        }
    }
    // An error here does not matter: the channel ends with the connection.
    let _ = channel.close(200, "OK".into()).await;
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    let wrong = format!("this does not exist, and the user may not declare it: {missing}");
    Err(BrokerFailure::Wrong { wrong, remedy: PROVISION })
}

fn is_missing<T>(found: lapin::Result<T>) -> Result<bool, BrokerFailure> {
    match found {
        Ok(_) => Ok(false),
        Err(error) if Refusal::of(&error) == Some(Refusal::NotThere) => Ok(true),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &lapin::Error) -> BrokerFailure {
    BrokerFailure::of(error, Phase::Preparing)
}

fn arguments(queue: &Queue) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in &queue.arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(i64::from(*number)),
        };
        table.insert((*name).into(), value);
    }
    table
}

impl From<ExchangeType> for ExchangeKind {
    fn from(kind: ExchangeType) -> Self {
        match kind {
            ExchangeType::Direct => Self::Direct,
            ExchangeType::Topic => Self::Topic,
        }
    }
}
