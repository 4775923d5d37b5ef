//! Causes faults and repairs them.

use std::collections::{HashMap, VecDeque};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use sea_orm::sqlx::{Connection as _, Executor as _, PgConnection};
use serde_json::{Value, json};
use shared_events::Service;
use tokio::task::block_in_place;

use super::{
    faults::{Fault, Kind, Target},
    full_disk,
    nodes::NodeNemesis,
    signals::{signal, tree_in},
    standby,
};
use testkit::{
    broker::Administrator,
    proxy::Network,
    stack::{Server, Stack},
};

/// The services' role at PostgreSQL and its password.
pub(crate) const ROLE: &str = "app";
pub(crate) const PASSWORD: &str = "the-password-of-the-services";
/// Maximum number of messages that are kept for republishing.
const RECORDED: usize = 500;
/// How many recorded messages are republished at a time.
const REPUBLISHED_AT_ONCE: usize = 40;

/// The state that is needed to repair active faults.
#[derive(Default)]
pub(crate) struct Nemesis {
    /// Sessions that hold locks.
    locks: HashMap<Service, PgConnection>,
    /// Messages as they were in the queues, oldest first.
    recorded: VecDeque<Value>,
    nodes: NodeNemesis,
    /// The queues that the latest fault has permanently damaged as a side effect.
    pub(super) lost_queues: Vec<String>,
    /// The nodes that had to be restarted after the latest fault, because they did not come back by themselves.
    pub(super) hung_nodes: Vec<String>,
}

impl Nemesis {
    /// Causes the fault.
    ///
    /// # Errors
    /// If the fault cannot be caused, for example because a server is down. Nothing needs to be repaired then.
    pub(crate) async fn begin(&mut self, stack: &mut Stack, fault: &Fault) -> Result<()> {
        match (fault.kind, fault.target) {
            (Kind::Kill, Target::Replica(service, number)) => stack.replica(service, number)?.kill(),
            (Kind::Suspend, Target::Replica(service, number)) => signal("STOP", stack.replica(service, number)?.id()),
            (Kind::SkewClock, Target::Replica(service, number)) => {
                let replica = stack.replica(service, number)?;
                replica.kill()?;
                let offset = if fault.at_ms.is_multiple_of(2) { "10min" } else { "-10min" };
                replica.settings.variables.push(("CLOCK_OFFSET".to_owned(), offset.to_owned()));
                replica.start()
            }
            (Kind::StartLate, Target::Service(last)) => {
                for replica in &mut stack.replicas {
                    replica.kill()?;
                }
                stack.replicas.iter_mut().filter(|one| one.service != last).try_for_each(|one| one.start())
            }
            (Kind::CrashDatabase, _) => block_in_place(|| stack.postgres.crash()),
            (Kind::SuspendDatabase, _) => signal("STOP", tree_in(stack.postgres.directory())),
            (Kind::EndSessions, Target::Service(service)) => end_sessions(stack, service),
            (Kind::RotatePassword, _) => {
                set_password(stack, "another-password")?;
                Service::ALL.into_iter().try_for_each(|service| end_sessions(stack, service))
            }
            (Kind::LockRow | Kind::LockTable, Target::Service(service)) => self.lock(stack, fault.kind, service).await,
            (Kind::KillBroker, _) => {
                stack.queues_on_disk()?;
                block_in_place(|| stack.rabbitmq.kill())
            }
            (Kind::SuspendBroker, _) => signal("STOP", tree_in(stack.rabbitmq.directory())),
            (Kind::BrokerAlarm, _) => memory(stack, "1"),
            (Kind::FillDisk, target) => full_disk::fill(stack, target),
            (Kind::CloseConnections, _) => {
                block_in_place(|| stack.rabbitmq.rabbitmqctl(&["close_all_connections", "torture"])).map(drop)
            }
            (Kind::Purge, Target::Service(service)) => stack.administrator()?.purge(service.name()).await,
            (Kind::DeleteQueue, Target::Service(service)) => stack.administrator()?.delete_queue(service.name()).await,
            (Kind::DeleteExchange, Target::Service(service)) => {
                let exchange = if fault.at_ms.is_multiple_of(2) { "deliveries" } else { "events" };
                stack.administrator()?.delete_exchange(&format!("{service}.{exchange}")).await
            }
            (Kind::DeleteBinding, Target::Service(service)) => {
                delete_binding(&stack.administrator()?, service, fault.at_ms).await
            }
            (Kind::Republish, Target::Service(service)) => {
                republish(&mut self.recorded, &stack.administrator()?, service).await
            }
            (kind, _) if kind.is_of_nodes() => self.nodes.begin(stack, fault),
            (kind, _) if kind.is_of_standby() => standby::begin(stack, kind),
            (kind, Target::Service(service)) => {
                let (server, network) = network(kind).context("it is a fault of the network")?;
                stack.network(service, server, network)
            }
            (kind, target) => anyhow::bail!("{kind} cannot affect {target}"),
        }
    }

    /// Repairs the fault.
    ///
    /// # Errors
    /// If the repair fails. The run cannot continue then.
    pub(crate) async fn end(&mut self, stack: &mut Stack, fault: &Fault) -> Result<()> {
        match (fault.kind, fault.target) {
            (Kind::Kill, Target::Replica(service, number)) => stack.replica(service, number)?.start(),
            (Kind::Suspend, Target::Replica(service, number)) => signal("CONT", stack.replica(service, number)?.id()),
            (Kind::SkewClock, Target::Replica(service, number)) => {
                let replica = stack.replica(service, number)?;
                replica.kill()?;
                replica.settings.variables.retain(|(name, _)| name != "CLOCK_OFFSET");
                replica.start()
            }
            (Kind::StartLate, _) => stack.start_all(),
            (Kind::CrashDatabase, _) => block_in_place(|| stack.postgres.restart()),
            (Kind::SuspendDatabase, _) => signal("CONT", tree_in(stack.postgres.directory())),
            (Kind::RotatePassword, _) => set_password(stack, PASSWORD),
            (Kind::LockRow | Kind::LockTable, Target::Service(service)) => {
                // Another fault may have ended the session, and released its locks.
                drop(self.locks.remove(&service));
                Ok(())
            }
            (Kind::KillBroker, _) => block_in_place(|| stack.rabbitmq.restart()),
            (Kind::SuspendBroker, _) => signal("CONT", tree_in(stack.rabbitmq.directory())),
            (Kind::BrokerAlarm, _) => memory(stack, "1GB"),
            (Kind::FillDisk, target) => {
                self.lost_queues = full_disk::free(stack, target).await?;
                Ok(())
            }
            (kind, _) if kind.is_of_nodes() => {
                self.hung_nodes = self.nodes.end(stack, fault)?;
                Ok(())
            }
            (kind, _) if kind.is_of_standby() => standby::end(stack, kind),
            (kind, Target::Service(service)) => match network(kind) {
                Some((server, _)) => stack.network(service, server, Network::Passes),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn lock(&mut self, stack: &Stack, kind: Kind, service: Service) -> Result<()> {
        let (row, table) = match service {
            Service::Order => (
                "SELECT FROM orders ORDER BY order_id DESC LIMIT 5 FOR UPDATE",
                "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
            ),
            Service::Inventory => (
                "SELECT FROM stock_items WHERE sku = 'PLENTY' FOR UPDATE",
                "LOCK TABLE stock_items IN ACCESS EXCLUSIVE MODE",
            ),
            Service::Payment => (
                "SELECT FROM payments ORDER BY payment_id DESC LIMIT 5 FOR UPDATE",
                "LOCK TABLE payments IN ACCESS EXCLUSIVE MODE",
            ),
        };
        let mut session = PgConnection::connect(&stack.postgres.url(service.name())).await?;
        session.execute("BEGIN").await?;
        session.execute("SET LOCAL lock_timeout = '2s'").await?;
        session.execute(if kind == Kind::LockRow { row } else { table }).await?;
        self.locks.insert(service, session);
        Ok(())
    }
}

fn network(kind: Kind) -> Option<(Server, Network)> {
    Some(match kind {
        Kind::CutDatabase => (Server::Database, Network::Drops),
        Kind::StallDatabase => (Server::Database, Network::Stalls),
        Kind::SlowDatabase => (Server::Database, Network::Slow),
        Kind::OneWayDatabase => (Server::Database, Network::OneWay),
        Kind::TornDatabase => (Server::Database, Network::Tears),
        Kind::CutBroker => (Server::Broker, Network::Drops),
        Kind::StallBroker => (Server::Broker, Network::Stalls),
        Kind::SlowBroker => (Server::Broker, Network::Slow),
        Kind::OneWayBroker => (Server::Broker, Network::OneWay),
        Kind::TornBroker => (Server::Broker, Network::Tears),
        _ => return None,
    })
}

fn memory(stack: &Stack, mark: &str) -> Result<()> {
    let command = ["set_vm_memory_high_watermark", "absolute", mark];
    block_in_place(|| stack.rabbitmq.rabbitmqctl(&command)).map(drop)
}

pub(crate) fn set_password(stack: &Stack, password: &str) -> Result<()> {
    block_in_place(|| stack.postgres.psql("postgres", &format!("ALTER ROLE {ROLE} PASSWORD '{password}'"))).map(drop)
}

fn end_sessions(stack: &Stack, service: Service) -> Result<()> {
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND usename = '{ROLE}'"
    );
    block_in_place(|| stack.postgres.psql(service.name(), &sql)).map(drop)
}

async fn delete_binding(administrator: &Administrator, service: Service, number: u64) -> Result<()> {
    let bindings = administrator.list(&format!("queues/{{vhost}}/{service}/bindings")).await?;
    let bindings: Vec<&Value> = bindings.iter().filter(|binding| binding["source"] != "").collect();
    ensure!(!bindings.is_empty(), "{service} has no bindings");
    let binding = bindings[usize::try_from(number % bindings.len() as u64)?];
    let text = |field: &str| binding[field].as_str().unwrap_or_default();
    let path = format!("bindings/{{vhost}}/e/{}/q/{service}/{}", text("source"), text("properties_key"));
    administrator.request(Method::DELETE, &path).send().await?.error_for_status()?;
    Ok(())
}

/// Creates a queue that receives everything, as an external listener may. It must not be mistaken for a consumer whose
/// binding is missing.
pub(crate) async fn listen_to_everything(administrator: &Administrator) -> Result<()> {
    let queue = json!({"durable": true, "arguments": {"x-max-length": 1_000}});
    let put = administrator.request(Method::PUT, "queues/{vhost}/listener").json(&queue);
    put.send().await?.error_for_status()?;
    for service in Service::ALL {
        for exchange in ["deliveries", "events"] {
            let path = format!("bindings/{{vhost}}/e/{service}.{exchange}/q/listener");
            let bind = administrator.request(Method::POST, &path).json(&json!({"routing_key": "#"}));
            bind.send().await?.error_for_status()?;
        }
    }
    Ok(())
}

/// Republishes recorded messages of a service unchanged. First records the messages that are in the queues now.
async fn republish(recorded: &mut VecDeque<Value>, administrator: &Administrator, service: Service) -> Result<()> {
    for consumer in Service::ALL {
        let get = json!({"count": REPUBLISHED_AT_ONCE, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let request = administrator.request(Method::POST, &format!("queues/{{vhost}}/{consumer}/get")).json(&get);
        let messages: Vec<Value> = request.send().await?.error_for_status()?.json().await?;
        recorded.extend(messages);
    }
    let surplus = recorded.len().saturating_sub(RECORDED);
    recorded.drain(..surplus);
    let exchange = format!("{service}.deliveries");
    let ours: Vec<&Value> = recorded.iter().filter(|message| message["exchange"] == exchange.as_str()).collect();
    ensure!(!ours.is_empty(), "nothing of {service} is recorded");
    for message in ours.into_iter().take(REPUBLISHED_AT_ONCE) {
        let again = json!({
            "properties": message["properties"], "routing_key": message["routing_key"],
            "payload": message["payload"], "payload_encoding": message["payload_encoding"],
        });
        let path = format!("exchanges/{{vhost}}/{exchange}/publish");
        administrator.request(Method::POST, &path).json(&again).send().await?.error_for_status()?;
    }
    Ok(())
}
