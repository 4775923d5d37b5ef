use std::time::Duration;

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqlxPostgresConnector,
    sqlx::{
        self, ConnectOptions as _, Connection as _, PgConnection, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};
use sea_orm_migration::MigratorTrait;

use super::{DatabaseError, PostgresSettings, connect::Pools, migrate};
use crate::{
    clock::Clock,
    hosts::{Hosts, Need, NoHost, advice},
};

/// Time limit for the first query on a connection.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a connection from a pool before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// One for the engine, one for trimming, and one to spare while a broken one is replaced.
const WRITERS: u32 = 3;
/// One for the relay, and one for the lookup of sagas that have ended.
const INTERNAL_READERS: u32 = 2;

/// Settings of the engine's sessions for the planner. All their statements find rows by a key, whose values are passed
/// as arrays: one plan that uses the index is right for arrays of every length, and planning each time costs more than
/// it could save. (If a table must be read as a whole all the same, the cost estimate would be high enough to trigger
/// JIT compilation, so that is off.) Without these settings, a server that has not analysed a busy outbox since it was
/// empty scans all of it for each batch, dead rows included, and keeps that plan.
///
/// The lock timeout is much longer than any replica holds a lock, and no longer than that: docs/adr/0015.
const ENGINE: [(&str, &str); 4] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off"), ("lock_timeout", "2s")];

/// Settings of every session. A replica that hangs or is cut off must not hold row locks or the relay's lock for longer
/// than some seconds, because the others wait for them.
const SESSION: [(&str, &str); 6] = [
    ("idle_in_transaction_session_timeout", "15s"),
    ("lock_timeout", "10s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "15s"),
];

/// Keys of advisory locks: "orders" in ASCII, and a number for what is locked.
const MIGRATION_LOCK: i64 = 0x6f72_6465_7273_0001;
pub(super) const RELAY_LOCK: i64 = 0x6f72_6465_7273_0002;
pub(super) const REPLICA_LOCK: i64 = 0x6f72_6465_7273_0003;
pub(super) const SEQUENCE_LOCK: i64 = 0x6f72_6465_7273_0004;

/// Queries the server's time in microseconds since 1970: the current time, and not the time at which the transaction
/// began.
pub(super) const CLOCK_QUERY: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// How to connect to a PostgreSQL database: to the one of its servers that is used.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) hosts: Hosts,
    max_connections: u32,
    /// The address for messages, without the password.
    pub(super) place: String,
}

impl Server {
    pub(super) fn new(settings: &PostgresSettings, need: Need) -> Self {
        let place = place(&settings.servers);
        let options =
            settings.servers.iter().map(|options| options.clone().options(SESSION).disable_statement_logging());
        Self { hosts: Hosts::new(options.collect(), need), max_connections: settings.max_connections, place }
    }

    /// Chooses a server, and checks that the database exists there and can be used.
    pub(super) async fn check(&self, clock: &Clock) -> Result<(), DatabaseError> {
        let session = self.first_session(clock).await?;
        let _ = session.close().await;
        Ok(())
    }

    /// Chooses a server and applies the migrations; replicas that start together wait for each other.
    pub(super) async fn prepare<M: MigratorTrait>(&self, clock: &Clock) -> Result<(), DatabaseError> {
        let mut session = self.first_session(clock).await?;
        // Another replica's migration may take long, so there is no lock timeout.
        let lock =
            sqlx::query("SELECT set_config('lock_timeout', '0', false), pg_advisory_lock($1)").bind(MIGRATION_LOCK);
        lock.execute(&mut session).await.map_err(|source| self.unusable(source))?;
        let pool = self.pool(1).acquire_timeout(QUERY_TIMEOUT);
        let connection = connection(pool, self.hosts.options().clone());
        let done = migrate::up::<M>(&connection, &self.place).await;
        let _ = connection.close().await;
        // The lock is released with the session, even if the migration failed.
        let _ = session.close().await;
        done
    }

    /// Returns pools that open their connections on first use.
    pub(super) fn pools(&self) -> Pools {
        // A statement on a connection that broke while it was idle fails. The engine would try again, a reader would
        // not, so only the readers test a connection first.
        let options = self.hosts.options();
        let readers = |count| connection(self.pool(count).test_before_acquire(true), options.clone());
        let writers = self.pool(self.writers()).test_before_acquire(false);
        Pools {
            write: connection(writers, options.clone().options(ENGINE)),
            read: readers(self.readers()),
            internal: readers(INTERNAL_READERS),
        }
    }

    /// Returns how many lists may be read at the same time: half as many as there are readers, so that single rows can
    /// still be read.
    pub(super) fn lists(&self) -> usize {
        (self.readers() as usize / 2).max(1)
    }

    fn writers(&self) -> u32 {
        WRITERS.min(self.max_connections.saturating_sub(1)).max(1)
    }

    fn readers(&self) -> u32 {
        self.max_connections.saturating_sub(self.writers()).max(1)
    }

    /// Chooses a server, opens a connection outside the pools, and compares `clock` with the server's over it.
    async fn first_session(&self, clock: &Clock) -> Result<PgConnection, DatabaseError> {
        self.hosts.choose().await.map_err(|NoHost { why, advice }| DatabaseError::Unusable {
            place: self.place.clone(),
            why,
            advice,
        })?;
        let session = async {
            let mut session = self.hosts.session().await?;
            with_timeout(clock.compare(sqlx::query_scalar(CLOCK_QUERY).fetch_one(&mut session))).await?;
            Ok(session)
        };
        session.await.map_err(|source| self.unusable(source))
    }

    /// Returns a pool of one connection, for LISTEN.
    pub(super) fn listening(&self) -> PgPool {
        self.pool(1).connect_lazy_with(self.hosts.options().clone())
    }

    /// Each new connection of a pool is checked to be on the server that is used.
    fn pool(&self, connections: u32) -> PgPoolOptions {
        let hosts = self.hosts.clone();
        PgPoolOptions::new()
            .after_connect(move |session, _| {
                let hosts = hosts.clone();
                Box::pin(async move { hosts.admit(session).await })
            })
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(600))
            .max_lifetime(None)
    }

    fn unusable(&self, error: sqlx::Error) -> DatabaseError {
        let of_server = error.as_database_error();
        let why = of_server.map_or_else(|| error.to_string(), |error| error.message().to_owned());
        let advice = advice(&error);
        DatabaseError::Unusable { place: self.place.clone(), why, advice }
    }
}

/// Limits how long the rest of the transaction waits for each lock. (SQLite has a single lock and a single writer, so
/// there it does nothing.)
pub async fn limit_lock_wait(transaction: &DatabaseTransaction, lock_wait: Duration) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SET LOCAL lock_timeout = {}", lock_wait.as_millis())).await?;
    }
    Ok(())
}

async fn with_timeout<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let timed_out = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
    tokio::time::timeout(QUERY_TIMEOUT, query).await.unwrap_or_else(|_| Err(timed_out()))
}

fn connection(pool: PgPoolOptions, options: PgConnectOptions) -> DatabaseConnection {
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(options))
}

/// Returns the address for messages, without the password. `servers` has at least one element.
pub(super) fn place(servers: &[PgConnectOptions]) -> String {
    let hosts: Vec<_> = servers.iter().map(|server| format!("{}:{}", server.get_host(), server.get_port())).collect();
    let (user, database) = (servers[0].get_username(), servers[0].get_database());
    format!("postgres://{user}@{}/{}", hosts.join(","), database.unwrap_or(user))
}

pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
