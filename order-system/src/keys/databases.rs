use std::{fmt::Display, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use saga_database::{Database, DatabaseArgs};
use sea_orm_migration::MigratorTrait;
use shared_events::Service;

use crate::data_dir::DataDir;

/// Where the databases of the three services are.
#[derive(Debug, Args)]
pub(super) struct Location {
    /// Data directory (not used with --database-url)
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    #[command(flatten)]
    database: Option<DatabaseArgs>,
}

/// Whether databases that do not exist are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// A key may be needed before the first start.
    Create,
    /// There is nothing to be found in them.
    Fail,
}

/// The databases that could be opened, and why the others could not.
pub(super) struct Databases {
    pub(super) open: Vec<(Service, Database)>,
    pub(super) failed: Vec<(Service, anyhow::Error)>,
}

impl Location {
    /// Opens the three databases, and applies the migrations. The services may be running.
    ///
    /// # Errors
    /// If none can be opened, or there is no data.
    pub(super) async fn open(&self, if_missing: IfMissing) -> Result<Databases> {
        // Without files nothing runs here, and while they are made nothing may start.
        let _lock = match &self.database {
            None if self.is_missing() && if_missing == IfMissing::Create => Some(DataDir::take(&self.data_dir)?),
            None if self.is_missing() => {
                bail!("nothing ran on the data directory {} yet, and it has no keys", self.data_dir.display())
            }
            _ => None,
        };
        let mut databases = Databases { open: Vec::new(), failed: Vec::new() };
        for service in Service::ALL {
            let opened = match service {
                Service::Order => self.open_one::<order::Migrator>(service).await,
                Service::Inventory => self.open_one::<inventory::Migrator>(service).await,
                Service::Payment => self.open_one::<payment::Migrator>(service).await,
            };
            match opened {
                Ok(database) => databases.open.push((service, database)),
                Err(error) => databases.failed.push((service, error)),
            }
        }
        if databases.open.is_empty() { Err(databases.unreachable()) } else { Ok(databases) }
    }

    async fn open_one<M: MigratorTrait>(&self, service: Service) -> Result<Database> {
        match &self.database {
            None => Ok(Database::open_sqlite::<M>(&DataDir::database_file(&self.data_dir, service)).await?),
            Some(database) => Ok(database.for_service(service.name())?.open::<M>().await?),
        }
    }

    fn is_missing(&self) -> bool {
        Service::ALL.iter().any(|service| !DataDir::database_file(&self.data_dir, *service).exists())
    }
}

impl Databases {
    /// Returns an error unless all three are open.
    ///
    /// # Errors
    /// If one is missing; the error says that nothing was written.
    pub(super) fn all(&mut self) -> Result<()> {
        if self.failed.is_empty() { Ok(()) } else { Err(self.unreachable()).context("nothing was written") }
    }

    fn unreachable(&mut self) -> anyhow::Error {
        let names = names(self.failed.iter().map(|(service, _)| service));
        let first = self.failed.drain(..).next().map(|(_, error)| error);
        first.unwrap_or_else(|| anyhow!("no error")).context(format!("cannot open the database of {names}"))
    }

    pub(super) async fn close(self) {
        for (_, database) in self.open {
            database.close().await;
        }
    }
}

/// Returns the names, such as `order, payment`.
pub(super) fn names(services: impl Iterator<Item = impl Display>) -> String {
    services.map(|service| service.to_string()).collect::<Vec<_>>().join(", ")
}
