//! Runs the three services and the console in one process.

use std::{
    collections::HashMap,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use console::{Addresses, AdminAccess, Console, ConsoleSettings, http_url};
use futures::future::{join_all, select_all};
use reqwest::Url;
use saga_database::{Database, DatabaseArgs};
use saga_memory_broker::InProcessBroker;
use saga_rabbitmq::{RabbitMq, RabbitMqArgs};
use saga_runtime::{IdentityError, IdentitySettings, broker::Broker, establish_all};
use sea_orm_migration::MigratorTrait;
use service_host::{
    Listeners, Served, Traces,
    admin::{AdminSettings, AdminToken},
    program::{listen, open_when_available},
    service::{self, RunningService, ServiceDeps},
    settings::{AccessSettings, ConsoleLink, HttpSettings, WorkSettings},
    startup::wait_for_database,
};
use service_http::{ListenerConfig, ServerTls};
use shared_events::Service;
use tokio::net::TcpListener;

use crate::data_dir::DataDir;

/// The settings of the whole system.
#[derive(Debug, Clone, Args)]
pub struct SystemSettings {
    /// Data directory; created if it does not exist (not used with --database-url)
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Address of the order service
    #[arg(long, env = "ORDER_LISTEN", default_value = "127.0.0.1:8001")]
    pub order_listen: SocketAddr,
    /// Address of the inventory service
    #[arg(long, env = "INVENTORY_LISTEN", default_value = "127.0.0.1:8002")]
    pub inventory_listen: SocketAddr,
    /// Address of the payment service
    #[arg(long, env = "PAYMENT_LISTEN", default_value = "127.0.0.1:8003")]
    pub payment_listen: SocketAddr,
    /// The console
    #[command(flatten)]
    pub console: ConsoleSettings,
    /// Where users find the console, if that is not where it listens
    #[command(flatten)]
    pub console_link: ConsoleLink,
    /// Start without the console
    #[arg(long, env = "NO_CONSOLE", help_heading = "Console")]
    pub no_console: bool,
    /// The databases, if they are not files in the data directory
    #[command(flatten)]
    pub database: Option<DatabaseArgs>,
    /// RabbitMQ, if it is used instead of the in-process broker
    #[command(flatten)]
    pub rabbitmq: Option<RabbitMqArgs>,
    /// Settings of all services
    #[command(flatten)]
    pub work: WorkSettings,
    /// Limits for the clients of the services and the console
    #[command(flatten)]
    pub http: HttpSettings,
    /// Who may use the services without an API key
    #[command(flatten)]
    pub access: AccessSettings,
    /// Access to the admin endpoints of all services
    #[command(flatten)]
    pub admin: AdminSettings,
    /// The system that the databases belong to, if it has to be set
    #[command(flatten)]
    pub identity: IdentitySettings,
    /// Settings of the order service
    #[command(flatten)]
    pub order: order::OrderSettings,
    /// Settings of the inventory service
    #[command(flatten)]
    pub inventory: inventory::InventorySettings,
    /// Settings of the payment service
    #[command(flatten)]
    pub payment: payment::PaymentSettings,
}

/// The running system.
#[derive(Debug)]
pub struct System {
    services: Vec<RunningService>,
    addresses: [SocketAddr; 3],
    scheme: &'static str,
    console: Option<Console>,
    place: Place,
    rabbitmq: Vec<RabbitMq>,
    shutdown_delay: Duration,
    drain_timeout: Duration,
}

/// Where the data is stored.
#[derive(Debug)]
enum Place {
    Directory(DataDir),
    Databases,
}

impl System {
    /// Starts all three services. When this returns, they accept requests.
    ///
    /// # Errors
    /// If a port is in use, the data directory is in use or cannot be written, a database has a newer version, or the
    /// databases belong to different systems. The error tells the user what to do.
    pub async fn start(settings: &SystemSettings) -> Result<Self> {
        let listeners = [
            listen(Service::Order.name(), settings.order_listen, "--order-listen").await?,
            listen(Service::Inventory.name(), settings.inventory_listen, "--inventory-listen").await?,
            listen(Service::Payment.name(), settings.payment_listen, "--payment-listen").await?,
        ];
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?, listeners[2].local_addr()?];
        let listening = settings.listening()?;
        let scheme = listening.scheme();
        let (admin, console) = settings.console().await?;
        let console_url = settings.console_url(console.as_ref().map(|(listener, _)| listener), scheme)?;
        let traces = Traces::from_env()?;
        let place = match settings.database {
            None => Place::Directory(DataDir::take(&settings.data_dir)?),
            Some(_) => Place::Databases,
        };
        let (mut brokers, rabbitmq) = settings.brokers()?;
        let [order, inventory, payment] = listeners.map(Listeners::from);
        // Opened in sequence, because they share the disk and the first error should be reported.
        let databases = [
            settings.open::<order::Migrator>(&place, Service::Order, (&order, &listening)).await?,
            settings.open::<inventory::Migrator>(&place, Service::Inventory, (&inventory, &listening)).await?,
            settings.open::<payment::Migrator>(&place, Service::Payment, (&payment, &listening)).await?,
        ];
        let [of_order, of_inventory, of_payment] = &databases;
        let all = [
            (Service::Order.spec(), of_order),
            (Service::Inventory.spec(), of_inventory),
            (Service::Payment.spec(), of_payment),
        ];
        let may_pass =
            |error: &IdentityError| matches!(error, IdentityError::Database(error) if of_order.may_pass(error));
        wait_for_database((&order, &listening), || establish_all(&all, &settings.identity), may_pass).await?;
        let mut all_deps = Service::ALL.into_iter().zip(databases).map(|(service, database)| {
            let broker = brokers.remove(service.name()).context("each service has its broker")?;
            Ok(ServiceDeps {
                database,
                broker,
                work: settings.work.clone(),
                access: settings.access.clone(),
                admin: admin.clone(),
                identity: settings.identity.clone(),
                traces: traces.clone(),
                console_url: console_url.clone(),
                listening: listening.clone(),
                browsers: settings.http.browsers.clone(),
            })
        });
        let mut deps = || all_deps.next().unwrap_or_else(|| Err(anyhow!("there are three services")));
        let services = vec![
            order::start(&settings.order, deps()?, order).await?,
            inventory::start(&settings.inventory, deps()?, inventory).await?,
            payment::start(&settings.payment, deps()?, payment).await?,
        ];
        let console = console.map(|(listener, access)| {
            let tls = listening.tls.as_ref().map(ServerTls::client);
            Console::start(listener, &urls(addresses, scheme)?, access, listening.clone(), tls)
        });
        let console = console.transpose()?;
        let WorkSettings { shutdown_delay, drain_timeout, .. } = settings.work;
        Ok(Self { services, addresses, scheme, console, place, rabbitmq, shutdown_delay, drain_timeout })
    }

    /// Returns the addresses of order, inventory and payment.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }

    /// Returns the scheme of all addresses: `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the address of the console, if there is one.
    #[must_use]
    pub fn console(&self) -> Option<SocketAddr> {
        self.console.as_ref().map(Console::address)
    }

    /// Returns whether requests needed an API key when the services started.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        self.services.iter().any(RunningService::needs_keys)
    }

    /// Describes where the data is stored.
    #[must_use]
    pub fn place(&self) -> impl fmt::Display {
        match &self.place {
            Place::Databases => "three databases of the server".to_owned(),
            Place::Directory(directory) => {
                let path = directory.path();
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
            }
        }
    }

    /// Resolves when it is known, and logged, of each service's dependencies whether they are up.
    pub async fn dependencies_known(&self) {
        join_all(self.services.iter().map(RunningService::dependencies_known)).await;
    }

    /// Resolves when a part of the system has ended by itself. That is a bug; the log contains the reason.
    pub async fn broken(&self) {
        let ended = self.services.iter().map(|service| Box::pin(service.ended()));
        select_all(ended).await;
    }

    /// Stops gracefully: after the shutdown delay, accepts no new requests, finishes what was accepted, and closes the
    /// databases.
    pub async fn stop(self) {
        service::announce_stop(&self.services, self.shutdown_delay).await;
        if let Some(console) = self.console {
            console.stop().await;
        }
        service::stop(self.services, self.drain_timeout).await;
        for rabbitmq in self.rabbitmq {
            rabbitmq.close(self.drain_timeout).await;
        }
    }
}

/// A broker for each service, and the RabbitMQ brokers among them again, which are closed at the end.
type Brokers = (HashMap<&'static str, Arc<dyn Broker>>, Vec<RabbitMq>);

/// Returns how the console reaches services that listen at these addresses.
fn urls(addresses: [SocketAddr; 3], scheme: &str) -> Result<Addresses> {
    let [order, inventory, payment] = addresses;
    let url = |address| url(address, scheme);
    Ok(Addresses::new([url(order)?, url(inventory)?, url(payment)?]))
}

/// Returns the URL of what listens at this address.
fn url(mut address: SocketAddr, scheme: &str) -> Result<Url> {
    // "All addresses of this machine" cannot be called.
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(http_url(&format!("{scheme}://{address}"))?)
}

impl SystemSettings {
    /// Returns the address of the console as browsers reach it: the configured one, or where it listens.
    fn console_url(&self, listener: Option<&TcpListener>, scheme: &str) -> Result<Option<Url>> {
        match (&self.console_link.console_url, listener) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, listener) => listener.map(|listener| url(listener.local_addr()?, scheme)).transpose(),
        }
    }

    /// Returns how each listener serves its clients.
    fn listening(&self) -> Result<ListenerConfig> {
        let services = Service::ALL.len();
        self.http.listener(Served { services, listeners: services + usize::from(!self.no_console) })
    }

    /// Returns the token for the services' admin endpoints, and the console's listener with its own access to them.
    async fn console(&self) -> Result<(Option<AdminToken>, Option<(TcpListener, AdminAccess)>)> {
        let token = self.admin.token()?;
        if self.no_console {
            return Ok((token, None));
        }
        let (token, access) = match token {
            Some(token) => (token.clone(), AdminAccess::Token(token)),
            None => {
                let token = AdminToken::generate().context("the operating system has no random numbers")?;
                (token.clone(), AdminAccess::WithoutLogin(Some(token)))
            }
        };
        let listener = Console::listen(&self.console, &access).await?;
        Ok((Some(token), Some((listener, access))))
    }

    async fn open<M: MigratorTrait>(
        &self,
        place: &Place,
        service: Service,
        listeners: (&Listeners, &ListenerConfig),
    ) -> Result<Database> {
        match (place, &self.database) {
            (Place::Directory(directory), _) => {
                Ok(Database::open_sqlite::<M>(&DataDir::database_file(directory.path(), service)).await?)
            }
            (Place::Databases, database) => {
                let database = database.as_ref().context("there is an address")?;
                open_when_available::<M>(&database.for_service(service.name())?, listeners).await
            }
        }
    }

    fn brokers(&self) -> Result<Brokers> {
        let Some(args) = &self.rabbitmq else {
            let brokers =
                InProcessBroker::for_services(&Service::ALL.map(Service::name), self.work.prefetch.saturating_mul(2));
            let brokers = brokers.into_iter().map(|(service, broker)| (service, Arc::new(broker) as Arc<dyn Broker>));
            return Ok((brokers.collect(), Vec::new()));
        };
        let mut all = Vec::new();
        for service in Service::ALL {
            all.push((service.name(), RabbitMq::new(&args.for_service(service.spec()))?));
        }
        let brokers = all.iter().map(|(service, one)| (*service, Arc::new(one.clone()) as Arc<dyn Broker>)).collect();
        Ok((brokers, all.into_iter().map(|(_, one)| one).collect()))
    }
}
