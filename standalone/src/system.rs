//! The three services in one process.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use service_kit::{
    admin::AdminSettings,
    broker::InProcessBroker,
    database::Database,
    service::{self, Foundation, RunningService},
    settings::WorkSettings,
};
use shared_events::Service;
use tokio::net::TcpListener;

use crate::data_dir::DataDir;

/// Where the system listens, where its data lies, and how the services work.
#[derive(Debug, Clone, Args)]
pub struct SystemSettings {
    /// Where the data lies; made if there is none
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Where the order service listens
    #[arg(long, env = "ORDER_LISTEN", default_value = "127.0.0.1:8001")]
    pub order_listen: SocketAddr,
    /// Where the inventory service listens
    #[arg(long, env = "INVENTORY_LISTEN", default_value = "127.0.0.1:8002")]
    pub inventory_listen: SocketAddr,
    /// Where the payment service listens
    #[arg(long, env = "PAYMENT_LISTEN", default_value = "127.0.0.1:8003")]
    pub payment_listen: SocketAddr,
    /// How the services work
    #[command(flatten)]
    pub work: WorkSettings,
    /// Who may use the admin endpoints of all three
    #[command(flatten)]
    pub admin: AdminSettings,
    /// What is particular to the order service
    #[command(flatten)]
    pub order: order::OrderSettings,
    /// What is particular to the inventory service
    #[command(flatten)]
    pub inventory: inventory::InventorySettings,
    /// What is particular to the payment service
    #[command(flatten)]
    pub payment: payment::PaymentSettings,
}

/// The running system.
#[derive(Debug)]
pub struct System {
    services: Vec<RunningService>,
    addresses: [SocketAddr; 3],
    data_dir: DataDir,
    patience: Duration,
}

impl System {
    /// Starts all three services; they answer from the moment that this returns.
    ///
    /// # Errors
    /// A taken port, a data directory that is in use or cannot be written, a database of a newer version: each in words
    /// that say what to do.
    pub async fn start(settings: &SystemSettings) -> Result<Self> {
        let listeners = [
            listen(Service::Order, settings.order_listen).await?,
            listen(Service::Inventory, settings.inventory_listen).await?,
            listen(Service::Payment, settings.payment_listen).await?,
        ];
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?, listeners[2].local_addr()?];
        let data_dir = DataDir::take(&settings.data_dir)?;
        let admin = settings.admin.token()?;
        let file = |service| DataDir::database_file(data_dir.path(), service);
        // Opened one after the other: they share the disk, and the first error is the one to be told.
        let databases = [
            Database::open_sqlite::<order::Migrator>(&file(Service::Order)).await?,
            Database::open_sqlite::<inventory::Migrator>(&file(Service::Inventory)).await?,
            Database::open_sqlite::<payment::Migrator>(&file(Service::Payment)).await?,
        ];
        let mut brokers = InProcessBroker::for_services(&Service::ALL, settings.work.prefetch.saturating_mul(2));
        let mut foundations = Service::ALL.into_iter().zip(databases).map(|(service, database)| {
            let broker = brokers.remove(&service).context("each service has its broker")?;
            Ok(Foundation { database, broker: Arc::new(broker), work: settings.work.clone(), admin: admin.clone() })
        });
        let mut foundation = || foundations.next().unwrap_or_else(|| Err(anyhow!("there are three services")));
        let [order, inventory, payment] = listeners;
        let services = vec![
            order::start(&settings.order, foundation()?, order).await?,
            inventory::start(&settings.inventory, foundation()?, inventory).await?,
            payment::start(&settings.payment, foundation()?, payment).await?,
        ];
        Ok(Self { services, addresses, data_dir, patience: settings.work.drain_timeout })
    }

    /// Where order, inventory and payment listen.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }

    /// Where the data lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Resolves when a part of the system has ended by itself, which is a bug: the log says more.
    pub async fn broken(&self) {
        let ended = self.services.iter().map(|service| Box::pin(service.ended()));
        futures::future::select_all(ended).await;
    }

    /// Stops in good order: no new requests, then what was taken is finished, then the databases are closed.
    pub async fn stop(self) {
        service::stop(self.services, self.patience).await;
    }
}

async fn listen(service: Service, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "the address {address} of the {service} service is taken: stop what listens there, \
             or choose another address with --{service}-listen"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "may not listen on the address {address} of the {service} service: choose a port above 1023 with --{service}-listen"
        ),
        _ => anyhow!("cannot listen on the address {address} of the {service} service: {error}; choose another with --{service}-listen"),
    })
}
