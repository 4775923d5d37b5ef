//! Which system (deployment) a service belongs to, and what becomes of the events of another one.
//!
//! The three databases and all messages of a system carry one id (docs/adr/0017). A service handles no event of another
//! system: an empty or a wrong database would answer it by undoing what the right one has done. Such an event is held
//! for some time and given back to the broker, so that the right service can have it; meanwhile the service is not
//! ready and takes no commands.

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

/// How much older than a database a system may be that the database is to belong to: the time in which the services of
/// a new system are started one after the other.
const TOLERANCE: Duration = Duration::from_secs(60 * 60);

/// At most one error of this kind is logged in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

const EXCHANGED: &str =
    "the database belongs to another system than the one that this service began with: start it again";

/// What readiness says of it.
const DEPENDENCY: &str = "system";

/// Whether a system was there long before a database: then the database is not the one that the system had.
fn is_older(id: SystemId, database_made_at: Timestamp) -> bool {
    id.made_at().after(TOLERANCE) < database_made_at
}

/// To which system a running service belongs, and whether it has met another.
#[derive(Debug)]
pub struct SystemIdentity {
    /// Empty until the first event that says it, in a service that has handled none.
    own: OnceLock<SystemId>,
    database_made_at: Timestamp,
    dead_lettered: Vec<SystemId>,
    hold: Duration,
    readiness: Readiness,
    /// The database belongs to another system by now than when the service started.
    exchanged: AtomicBool,
    met: Mutex<Met>,
}

/// When events of another system were last met, and last logged.
#[derive(Debug, Default)]
struct Met {
    met: Option<Instant>,
    logged: Option<Instant>,
}

/// What is to be done with an event, as far as the system that it belongs to decides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// It is to be handled.
    Ours,
    /// It is to be held: why, in words for the log.
    Foreign(String),
    /// It is to be put among the dead letters: why.
    DeadLetter(String),
}

impl SystemIdentity {
    /// Establishes to which system the database belongs, and says so in the log.
    ///
    /// # Errors
    /// As [`establish`].
    pub async fn open(
        database: &Database,
        service: ServiceSpec,
        settings: &IdentitySettings,
        readiness: Readiness,
    ) -> Result<Arc<Self>, IdentityError> {
        let own = establish(database, service, settings).await?;
        match own {
            Some(id) => tracing::info!(system.id = %id, "the database belongs to this system"),
            None => tracing::info!("the database belongs to no system yet; the first event says to which"),
        }
        let identity = Self {
            own: own.map_or_else(OnceLock::new, OnceLock::from),
            database_made_at: made_at(&database.reader()).await?,
            dead_lettered: settings.dead_letter_systems.clone(),
            hold: settings.hold,
            readiness,
            exchanged: AtomicBool::new(false),
            met: Mutex::default(),
        };
        identity.report();
        Ok(Arc::new(identity))
    }

    /// The system that this service belongs to, where that is known.
    pub(crate) fn own(&self) -> Option<SystemId> {
        self.own.get().copied()
    }

    /// The database belongs to the system `id`: that is committed.
    pub(crate) fn adopted(&self, id: SystemId) {
        if self.own.set(id).is_ok() {
            tracing::info!(system.id = %id, "the database belongs to this system from now on");
        }
    }

    /// Looks whether another replica has learnt to which system the database belongs, and whether it is still the
    /// database that the service began with.
    pub(crate) async fn look(&self, database: &Database) -> Result<(), DbErr> {
        match (self.own(), read_system_id(&database.writer()).await?) {
            (None, there) => there.into_iter().for_each(|id| self.adopted(id)),
            (Some(own), there) => {
                let exchanged = there != Some(own);
                self.exchanged.store(exchanged, Ordering::Relaxed);
                if exchanged {
                    self.met(EXCHANGED);
                }
            }
        }
        Ok(())
    }

    /// What is to be done with an event that says that it belongs to `theirs`. One that says nothing was made before
    /// systems had ids.
    pub(crate) fn ownership(&self, theirs: Option<SystemId>) -> Ownership {
        if self.exchanged.load(Ordering::Relaxed) {
            return Ownership::Foreign(EXCHANGED.to_owned());
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

    /// An event of another system is met: that is reported, and logged now and then.
    pub(crate) fn met(&self, why: &str) {
        let now = Instant::now();
        let mut met = self.lock();
        met.met = Some(now);
        let log = met.logged.is_none_or(|logged| now - logged >= LOG_EVERY);
        if log {
            met.logged = Some(now);
        }
        drop(met);
        if log {
            tracing::error!(
                "a message of another system is not handled, but held and given back: {why}. See \"The wrong \
                 database\" in docs/operations.md"
            );
        }
        self.report();
    }

    /// How long an event of another system is held.
    pub(crate) fn hold(&self) -> Duration {
        self.hold
    }

    /// Why commands are refused, where they are: events of another system were met lately. One that was given back
    /// comes again at once, where nobody else takes it.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let met_lately = self.lock().met.is_some_and(|met| met.elapsed() < 2 * self.hold);
        (met_lately || self.exchanged.load(Ordering::Relaxed)).then_some(
            "this service has met messages of another system: is its database the right one? Its log says more",
        )
    }

    /// Tells readiness how it stands.
    pub(crate) fn report(&self) {
        self.readiness.set(DEPENDENCY, self.refusal().map_or(Ok(()), |why| Err(why.to_owned())));
    }

    /// A panic of another holder leaves nothing half done in here.
    fn lock(&self) -> std::sync::MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
