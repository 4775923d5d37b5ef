use std::{fmt, io, path::PathBuf, str::FromStr as _};

use clap::Args;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm_migration::MigratorTrait;

use saga_support::{for_service, host_name, read_secret};

use super::{
    Database, DatabaseError,
    hosts::{AddressError, split},
};

/// Address and credentials of a service's database.
///
/// `{service}` in the address and in the name of the password file stands for the service's name, so that one setting
/// can serve several services.
#[derive(Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/NAME, or sqlite:FILE
    ///
    /// {service} stands for the service's name. In the user and the password, special characters are percent-encoded.
    /// A primary and its standbys: HOST1:PORT1,HOST2:PORT2 (with ?target_session_attrs=read-write, as for libpq). The
    /// one that is the primary is used, also after a failover.
    /// For TLS, add ?sslmode=verify-full (and &sslrootcert=FILE for a certificate authority of your own).
    // Not required by the parser, because it would then be required even if these arguments are optional as a whole;
    // whoever needs it reports that it is missing.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, required = false)]
    pub database_url: String,
    /// A file that contains the password, if the address does not
    #[arg(long, env = "DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
    /// The maximum number of a service's connections to PostgreSQL, besides six of its own for the relay, the other
    /// replicas, and to watch the server
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// The location of one service's database.
#[derive(Debug, Clone)]
pub enum DatabaseTarget {
    /// A file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(PostgresSettings),
}

/// Address, credentials and number of connections for a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresSettings {
    /// How to connect to each server; at least one.
    pub(super) servers: Vec<PgConnectOptions>,
    pub(super) max_connections: u32,
}

/// Why the settings cannot be used. It never contains a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseSettingsError {
    /// The address is malformed.
    #[error(
        "the address of the database (--database-url) is not of the form \
         postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:FILE"
    )]
    NoUrl,
    /// The list of servers in the address is malformed.
    #[error(
        "the servers in the address of the database (--database-url) are not of the form HOST1:PORT1,HOST2:PORT2, \
         or are named a second time in a parameter"
    )]
    Servers,
    /// The address asks for a server that the services cannot use.
    #[error(
        "target_session_attrs in the address of the database (--database-url) must be read-write or primary, \
         or be left out: the services write"
    )]
    Target,
    /// The password file cannot be read.
    #[error("cannot read the password file {path} (--database-password-file)")]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl DatabaseArgs {
    /// Returns the location of `service`'s database. On the server its sessions have the application name
    /// `service@host`.
    ///
    /// # Errors
    /// If the address is malformed, or the password file cannot be read.
    pub fn for_service(&self, service: &str) -> Result<DatabaseTarget, DatabaseSettingsError> {
        let url = self.database_url.replace("{service}", service);
        if let Some(file) = url.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            return if file.is_empty() {
                Err(DatabaseSettingsError::NoUrl)
            } else {
                Ok(DatabaseTarget::Sqlite(file.into()))
            };
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DatabaseSettingsError::NoUrl);
        }
        let addresses = split(&url).map_err(|error| match error {
            AddressError::Malformed => DatabaseSettingsError::Servers,
            AddressError::Target => DatabaseSettingsError::Target,
        })?;
        let password = self.password(service)?;
        // The server truncates longer names, and logs that each time.
        let name: String = format!("{service}@{}", host_name()).chars().take(63).collect();
        let server = |address: &String| {
            // The parser's own message may contain the whole URL.
            let options = PgConnectOptions::from_str(address).map_err(|_| DatabaseSettingsError::NoUrl)?;
            let options = options.application_name(&name);
            Ok(password.iter().fold(options, |options, password| options.password(password)))
        };
        Ok(DatabaseTarget::Postgres(PostgresSettings {
            servers: addresses.iter().map(server).collect::<Result<_, _>>()?,
            max_connections: self.database_connections,
        }))
    }

    /// Returns the content of the password file, if there is one.
    fn password(&self, service: &str) -> Result<Option<String>, DatabaseSettingsError> {
        let Some(path) = &self.database_password_file else { return Ok(None) };
        let path = for_service(path, service);
        let unreadable = |source| DatabaseSettingsError::Unreadable { path: path.clone(), source };
        read_secret(&path).map(Some).map_err(unreadable)
    }
}

impl DatabaseTarget {
    /// Opens the database and applies the migrations.
    ///
    /// # Errors
    /// See [`Database::open_sqlite`] and [`Database::open_postgres`].
    pub async fn open<M: MigratorTrait>(&self) -> Result<Database, DatabaseError> {
        match self {
            Self::Sqlite(path) => Database::open_sqlite::<M>(path).await,
            Self::Postgres(settings) => Database::open_postgres::<M>(settings).await,
        }
    }

    /// Opens the database for reading.
    ///
    /// # Errors
    /// If the database does not exist or cannot be read.
    pub async fn open_for_reading(&self) -> Result<Database, DatabaseError> {
        match self {
            Self::Sqlite(path) => Database::open_sqlite_for_reading(path).await,
            Self::Postgres(settings) => Database::open_postgres_for_reading(settings).await,
        }
    }
}

/// Omits the password.
impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresSettings").field(&super::postgres::place(&self.servers)).finish()
    }
}

/// Omits the address, which may contain the password.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseArgs").field("password_file", &self.database_password_file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn args(url: &str) -> DatabaseArgs {
        DatabaseArgs { database_url: url.to_owned(), database_password_file: None, database_connections: 10 }
    }

    #[test]
    fn one_setting_does_for_several_services() {
        for (url, shown) in [
            ("postgres://{service}:secret@db/{service}", "PostgresSettings(\"postgres://order@db:5432/order\")"),
            (
                "postgresql://app:secret@db-{service}:5433/shop",
                "PostgresSettings(\"postgres://app@db-order:5433/shop\")",
            ),
            (
                "postgres://{service}:secret@db1,db2:5433/shop?target_session_attrs=read-write",
                "PostgresSettings(\"postgres://order@db1:5432,db2:5433/shop\")",
            ),
        ] {
            let DatabaseTarget::Postgres(settings) = args(url).for_service("order").unwrap() else { panic!("{url}") };
            assert_eq!(format!("{settings:?}"), shown, "{url}");
        }
        for (url, file) in [("sqlite:{service}.sqlite", "order.sqlite"), ("sqlite:///data/{service}", "/data/order")] {
            let DatabaseTarget::Sqlite(path) = args(url).for_service("order").unwrap() else { panic!("{url}") };
            assert_eq!(path, Path::new(file), "{url}");
        }
    }

    #[test]
    fn nothing_tells_the_password() {
        for url in [
            "mysql://order:secret@db/orders",
            "order:secret@db",
            "postgres://order:secret@db:port/orders",
            "postgres://order:secret@db1,/orders",
            "postgres://order:secret@db1,db2:port/orders",
            "postgres://order:secret@db1,db2/orders?target_session_attrs=secret",
            "sqlite:",
            "",
        ] {
            let error = args(url).for_service("order").unwrap_err();
            assert!(!format!("{error:?} {error} {:?}", args(url)).contains("secret"), "{url}");
        }
    }

    #[test]
    fn the_file_has_the_password() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("order-password"), "p@ss word\n").unwrap();
        let mut args = args("postgres://order@db/orders");
        args.database_password_file = Some(directory.path().join("{service}-password"));
        assert!(args.for_service("order").is_ok());
        let error = args.for_service("payment").unwrap_err().to_string();
        assert!(error.contains("payment-password"), "{error}");
    }
}
