//! The common `main` of the programs `order`, `inventory` and `payment`: each runs one service with its own database
//! and RabbitMQ.

use std::{io, net::SocketAddr, pin::pin, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use saga_message::ServiceSpec;
use sea_orm_migration::MigratorTrait;
use tokio::net::TcpListener;

use crate::{
    Listeners, Served, Traces,
    admin::AdminSettings,
    service::{self, RunningService, ServiceDeps},
    settings::{AccessSettings, ConsoleLink, HttpSettings, LogSettings, WorkSettings},
    signals,
    startup::wait_for_database,
    telemetry,
};
use saga_database::{ClockOffset, Database, DatabaseArgs, DatabaseError, DatabaseTarget};
use saga_rabbitmq::{RabbitMq, RabbitMqArgs};
use saga_runtime::IdentitySettings;
use service_http::{ListenerConfig, probe};

/// The command line of a service.
#[derive(Debug, Args)]
pub struct ProgramArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Address to listen on [default: 127.0.0.1 and the service's own port]
    #[arg(long, env = "LISTEN", global = true)]
    listen: Option<SocketAddr>,
    /// Address for operators: the admin endpoints, the metrics and the documentation are only there then, and no longer
    /// at --listen. The health checks are at both
    #[arg(long, env = "OPERATIONS_LISTEN")]
    operations_listen: Option<SocketAddr>,
    // Optional, because the health check needs neither.
    #[command(flatten)]
    database: Option<DatabaseArgs>,
    #[command(flatten)]
    rabbitmq: Option<RabbitMqArgs>,
    #[command(flatten)]
    work: WorkSettings,
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    access: AccessSettings,
    #[command(flatten)]
    admin: AdminSettings,
    #[command(flatten)]
    console: ConsoleLink,
    #[command(flatten)]
    identity: IdentitySettings,
    #[command(flatten)]
    logs: LogSettings,
    /// For tests: offset of this machine's clock, such as +10min or -90s
    #[arg(long, env = "CLOCK_OFFSET", hide = true, default_value = "0s", allow_hyphen_values = true)]
    clock_offset: ClockOffset,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Check whether the service on this machine is alive, and exit with 0 or 1; for container health checks
    Health {
        /// Check instead whether it is ready, that is, whether everything that it depends on is available
        #[arg(long)]
        ready: bool,
    },
}

/// Runs a service or a subcommand, and prints the error if that fails. The service listens on `default_port` of the
/// loopback interface, unless the command line sets another address.
pub async fn main<M: MigratorTrait>(
    service: ServiceSpec,
    default_port: u16,
    args: ProgramArgs,
    start: impl AsyncFnOnce(ServiceDeps, Listeners) -> Result<RunningService>,
) -> ExitCode {
    let default_address = SocketAddr::from(([127, 0, 0, 1], default_port));
    let done = match args.command {
        None => run::<M>(service, default_address, args, start).await,
        Some(Command::Health { ready }) => {
            let address = args.listen.unwrap_or(default_address);
            probe(address, args.http.tls.is_on(), if ready { "/health/ready" } else { "/health" }).await
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", service.name);
            ExitCode::FAILURE
        }
    }
}

async fn run<M: MigratorTrait>(
    service: ServiceSpec,
    default_address: SocketAddr,
    args: ProgramArgs,
    start: impl AsyncFnOnce(ServiceDeps, Listeners) -> Result<RunningService>,
) -> Result<()> {
    let ProgramArgs {
        listen: address,
        operations_listen,
        database,
        rabbitmq,
        work,
        http,
        access,
        admin,
        console,
        identity,
        logs,
        ..
    } = args;
    let clock_offset = args.clock_offset;
    telemetry::init(logs.log_format, &logs.log).context("the log filter is wrong (--log)")?;
    let database = database.context("where is the database? Set --database-url (DATABASE_URL); --help says more")?;
    let rabbitmq = rabbitmq.context("where is RabbitMQ? Set --amqp-url (AMQP_URL); --help says more")?;
    let target = database.for_service(service.name)?;
    let broker = RabbitMq::new(&rabbitmq.for_service(service))?;
    let admin = admin.token()?;
    let listening = http.listener(Served { services: 1, listeners: 1 + usize::from(operations_listen.is_some()) })?;
    let scheme = listening.scheme();
    let traces = Traces::from_env()?;
    let public = listen(service.name, address.unwrap_or(default_address), "--listen").await?;
    let operations = match operations_listen {
        Some(address) => Some(listen(service.name, address, "--operations-listen").await?),
        None => None,
    };
    let mut signal = pin!(signals::signalled().context("cannot listen for signals")?);
    let (shutdown_delay, drain_timeout) = (work.shutdown_delay, work.drain_timeout);
    let address = public.local_addr()?;
    let for_operators = operations.as_ref().unwrap_or(&public).local_addr()?;
    let listeners = Listeners { public, operations };
    let starting = async {
        let database = open_when_available::<M>(&target, (&listeners, &listening)).await?;
        database.clock().skew_system_clock(clock_offset);
        let console_url = console.console_url;
        let broker = Arc::new(broker.clone());
        let browsers = http.browsers;
        let deps =
            ServiceDeps { database, broker, work, access, admin, identity, traces, listening, browsers, console_url };
        start(deps, listeners).await
    };
    let running = tokio::select! {
        running = starting => running?,
        signal = &mut signal => {
            tracing::info!(signal, "stopped before the database was there");
            return Ok(());
        }
    };
    let service = service.name;
    tracing::info!("{service} listens on {scheme}://{address}, Swagger UI on {scheme}://{for_operators}/docs");
    let signal = tokio::select! {
        signal = &mut signal => signal,
        () = running.ended() => bail!(
            "a part of the service has ended by itself; the log says why. Start it again: nothing is lost"
        ),
    };
    let running = vec![running];
    service::announce_stop(&running, shutdown_delay).await;
    tracing::info!(signal, "stopping: no new requests; what was taken is finished (a second signal ends at once)");
    service::stop(running, drain_timeout).await;
    broker.close(drain_timeout).await;
    tracing::info!("stopped; everything that was answered is durable");
    Ok(())
}

/// Binds the address of a service.
///
/// # Errors
/// If the port is in use or needs privileges; the error explains what to do, with the command-line `flag`.
pub async fn listen(service: &str, address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "the address {address} of the {service} service is taken: stop what listens there, or choose another address \
             with {flag}"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "may not listen on the address {address} of the {service} service: choose a port above 1023 with {flag}"
        ),
        _ => anyhow!(
            "cannot listen on the address {address} of the {service} service: {error}; choose another with {flag}"
        ),
    })
}

/// Opens the database, and waits for it if it is unavailable. Meanwhile, requests to `listeners` are answered with what
/// is missing.
///
/// # Errors
/// If the error is permanent, so that waiting does not help.
pub async fn open_when_available<M: MigratorTrait>(
    target: &DatabaseTarget,
    listeners: (&Listeners, &ListenerConfig),
) -> Result<Database> {
    wait_for_database(listeners, || target.open::<M>(), DatabaseError::may_pass).await
}
