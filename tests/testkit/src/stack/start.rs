//! Starting the servers and the services.

use std::{collections::BTreeMap, thread};

use anyhow::Result;
use shared_events::Service;
use test_servers::{Postgres, postgres, rabbitmq};
use tokio::task::block_in_place;

use super::{Options, Server, Stack};
use crate::{
    programs::Programs,
    proxy::Proxy,
    replica::{Replica, Settings},
};

/// The size of a limited disk.
const DISK_MEGABYTES: u32 = 1024;

impl Stack {
    /// Starts servers and services, and waits until the services are ready. `name` is the directory of the logs.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn start(name: &str, options: Options) -> Result<Self> {
        let mut stack = Self::servers(name, options).await?;
        stack.start_all()?;
        stack.ready().await?;
        Ok(stack)
    }

    /// Starts the servers only.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn servers(name: &str, options: Options) -> Result<Self> {
        let Options {
            programs,
            replicas,
            arguments,
            mut database,
            mut broker,
            broker_nodes,
            amqp,
            standby,
            proxied,
            limited_disks,
        } = options;
        let this_build = Programs::of_this_build()?;
        if limited_disks {
            limit_disks(&mut database, &mut broker);
        }
        let (postgres, rabbitmq) = block_in_place(|| {
            thread::scope(|scope| {
                let rabbitmq = scope.spawn(|| rabbitmq::start_cluster(broker, broker_nodes));
                let postgres = Postgres::start(database);
                (postgres, rabbitmq.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        });
        let (postgres, mut peers) = (postgres?, rabbitmq?);
        let rabbitmq = peers.remove(0);
        Service::ALL.iter().try_for_each(|one| block_in_place(|| postgres.create_database(one.name())).map(drop))?;
        let standby = standby.then(|| block_in_place(|| postgres.standby())).transpose()?;
        if standby.is_some() {
            block_in_place(|| postgres.wait_for_standby(true))?;
        }
        let mut links = BTreeMap::new();
        for service in Service::ALL.into_iter().filter(|_| proxied) {
            let (mut to_database, mut to_broker) = (Vec::new(), Vec::new());
            for server in [&postgres].into_iter().chain(&standby) {
                to_database.push(Proxy::to(server.port()).await?);
            }
            for node in [&rabbitmq].into_iter().chain(&peers) {
                to_broker.push(Proxy::to(node.port()).await?);
            }
            links.insert((service, Server::Database), to_database);
            links.insert((service, Server::Broker), to_broker);
        }
        // Next to the programs of this build, even if others write them.
        let logs = this_build
            .path(Service::Order.name())?
            .with_file_name("e2e-logs")
            .join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&logs)?;
        let programs = programs.unwrap_or(this_build);
        let mut stack = Self {
            postgres,
            standby,
            rabbitmq,
            peers,
            replicas: Vec::new(),
            programs,
            amqp,
            links,
            logs,
            passed: false,
        };
        for service in Service::ALL {
            for number in 0..replicas {
                let arguments = arguments.iter().filter(|(of, _)| *of == service).map(|(_, argument)| argument.clone());
                let variables = vec![
                    ("DATABASE_URL".to_owned(), stack.database_url(service)),
                    ("AMQP_URL".to_owned(), stack.amqp_url(service)),
                ];
                let log = stack.logs.join(format!("{service}-{number}.log"));
                let settings = Settings { variables, arguments: arguments.collect() };
                let program = stack.programs.path(service.name())?;
                stack.replicas.push(Replica::new(service, program, settings, log)?);
            }
        }
        Ok(stack)
    }
}

/// Limits the disks, and the size of the servers' write-ahead logs, which must leave room for the test to fill.
fn limit_disks(database: &mut postgres::Options, broker: &mut rabbitmq::Options) {
    database.disk_megabytes = Some(DISK_MEGABYTES);
    database.settings.push(("max_wal_size".to_owned(), "128MB".to_owned()));
    broker.disk_megabytes = Some(DISK_MEGABYTES);
    broker.config.push("raft.wal_max_size_bytes = 64000000".to_owned());
}
