//! Which system (deployment) a service belongs to, and how events of another system are treated.
//!
//! The databases and all messages of a system carry one id (docs/adr/0017). A service does not handle events of another
//! system: with an empty or wrong database it would answer them by undoing what the right service has done. Such an
//! event is held for some time and then returned to the broker, so that the right service can get it. Meanwhile the
//! service is not ready and refuses commands.

mod establish;
mod settings;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use saga_database::{Database, made_at, read_system_id};
use saga_message::{ServiceSpec, SystemId, Timestamp};
use sea_orm::DbErr;
use tokio::time::Instant;

pub use establish::{IdentityError, establish, establish_all};
pub use settings::IdentitySettings;

use crate::readiness::Readiness;

/// By how much a system may be older than a database that is to belong to it: the time in which the services of a new
/// system are started one after the other.
const TOLERANCE: Duration = Duration::from_secs(60 * 60);

/// At most one error about events of another system is logged per this period.
const LOG_EVERY: Duration = Duration::from_secs(60);

const DATABASE_REPLACED: &str =
    "the database belongs to another system than when this service started: restart the service";

/// The name of the dependency in the readiness report.
const DEPENDENCY: &str = "system";

/// Returns whether a system existed long before a database. Then the database is not the one that the system had.
fn is_older(id: SystemId, database_made_at: Timestamp) -> bool {
    id.made_at().after(TOLERANCE) < database_made_at
}

/// The system that a running service belongs to, and whether it has received events of another one.
#[derive(Debug)]
pub struct SystemIdentity {
    /// Empty until the first event that contains a system id, in a service that has handled none.
    own: OnceLock<SystemId>,
    database_made_at: Timestamp,
    dead_lettered: Vec<SystemId>,
    hold: Duration,
    readiness: Readiness,
    /// The database now belongs to another system than when the service started.
    database_replaced: AtomicBool,
    foreign: Mutex<ForeignEvents>,
}

/// When an event of another system was last received, and last logged.
#[derive(Debug, Default)]
struct ForeignEvents {
    received: Option<Instant>,
    logged: Option<Instant>,
}

/// How to treat an event, as far as that depends on its system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Handle it.
    Ours,
    /// Hold it, for this reason (a text for the log).
    Foreign(String),
    /// Dead-letter it, for this reason.
    DeadLetter(String),
}

impl SystemIdentity {
    /// Determines which system the database belongs to, and logs it.
    ///
    /// # Errors
    /// See [`establish`].
    pub async fn open(
        database: &Database,
        service: ServiceSpec,
        settings: &IdentitySettings,
        readiness: Readiness,
    ) -> Result<Arc<Self>, IdentityError> {
        let own = establish(database, service, settings).await?;
        match own {
            Some(id) => tracing::info!(system.id = %id, "the database belongs to this system"),
            None => tracing::info!("the database belongs to no system yet; the first event determines it"),
        }
        let identity = Self {
            own: own.map_or_else(OnceLock::new, OnceLock::from),
            database_made_at: made_at(&database.reader()).await?,
            dead_lettered: settings.dead_letter_systems.clone(),
            hold: settings.hold,
            readiness,
            database_replaced: AtomicBool::new(false),
            foreign: Mutex::default(),
        };
        identity.report();
        Ok(Arc::new(identity))
    }

    /// Returns the system that this service belongs to, if it is known.
    pub(crate) fn own(&self) -> Option<SystemId> {
        self.own.get().copied()
    }

    /// Records that the database belongs to the system `id`. The transaction that stored the id is committed.
    pub(crate) fn adopted(&self, id: SystemId) {
        if self.own.set(id).is_ok() {
            tracing::info!(system.id = %id, "the database belongs to this system from now on");
        }
    }

    /// Checks whether another replica has determined which system the database belongs to, and whether that is still
    /// the same system as when the service started.
    pub(crate) async fn check(&self, database: &Database) -> Result<(), DbErr> {
        match (self.own(), read_system_id(&database.writer()).await?) {
            (None, there) => there.into_iter().for_each(|id| self.adopted(id)),
            (Some(own), there) => {
                let replaced = there != Some(own);
                self.database_replaced.store(replaced, Ordering::Relaxed);
                if replaced {
                    self.received_foreign(DATABASE_REPLACED);
                }
            }
        }
        Ok(())
    }

    /// Returns how to treat an event of the system `theirs`. `None` is an event from before systems had ids.
    pub(crate) fn ownership(&self, theirs: Option<SystemId>) -> Ownership {
        if self.database_replaced.load(Ordering::Relaxed) {
            return Ownership::Foreign(DATABASE_REPLACED.to_owned());
        }
        let (own, Some(theirs)) = (self.own(), theirs) else { return Ownership::Ours };
        if own == Some(theirs) || (own.is_none() && !is_older(theirs, self.database_made_at)) {
            return Ownership::Ours;
        }
        if self.dead_lettered.contains(&theirs) {
            return Ownership::DeadLetter(format!("of the system {theirs}, which --dead-letter-systems names"));
        }
        Ownership::Foreign(match own {
            Some(own) => format!(
                "it belongs to the system {theirs}, and this service's database to {own}: is DATABASE_URL (--data-dir) \
                 or AMQP_URL the wrong one? If the database was lost and this empty one is in its place, start with \
                 --system-id {theirs} (SYSTEM_ID); if the other system is the mistake, with --dead-letter-systems \
                 {theirs} (DEAD_LETTER_SYSTEMS)"
            ),
            None => format!(
                "it belongs to the system {theirs}, and this database is new: is DATABASE_URL (--data-dir) the wrong \
                 one, or was it restored without its data? If it was lost and this one is in its place, start with \
                 --system-id {theirs} (SYSTEM_ID)"
            ),
        })
    }

    /// Records that an event of another system was received. It is reported to readiness, and logged at a limited rate.
    pub(crate) fn received_foreign(&self, why: &str) {
        let now = Instant::now();
        let mut foreign = self.lock();
        foreign.received = Some(now);
        let log = foreign.logged.is_none_or(|logged| now - logged >= LOG_EVERY);
        if log {
            foreign.logged = Some(now);
        }
        drop(foreign);
        if log {
            tracing::error!(
                "a message of another system is not handled, but held and returned to the broker: {why}. See \"The \
                 wrong database\" in docs/operations.md"
            );
        }
        self.report();
    }

    /// Returns how long an event of another system is held.
    pub(crate) fn hold(&self) -> Duration {
        self.hold
    }

    /// Returns why commands are refused, if they are: events of another system were received recently. An event that
    /// was given back is delivered again at once if no other service consumes it.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let received_recently = self.lock().received.is_some_and(|received| received.elapsed() < 2 * self.hold);
        (received_recently || self.database_replaced.load(Ordering::Relaxed)).then_some(
            "this service has received messages of another system: is its database the right one? See its log",
        )
    }

    /// Reports the current state to readiness.
    pub(crate) fn report(&self) {
        self.readiness.set(DEPENDENCY, self.refusal().map_or(Ok(()), |why| Err(why.to_owned())));
    }

    /// Ignores poisoning: a panic while the lock is held leaves nothing half changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, ForeignEvents> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
