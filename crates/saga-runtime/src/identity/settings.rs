use std::time::Duration;

use clap::Args;
use saga_message::SystemId;

/// How long an event of another system is held before it is given back.
const HOLD: Duration = Duration::from_secs(30);

/// Which system a service belongs to, where that has to be said.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "System")]
pub struct IdentitySettings {
    /// The id of the system that the database is to belong to: only for a new database in the place of one that was
    /// lost
    ///
    /// The databases and the messages of a system carry one id. The order service makes it at its first start, the
    /// others learn it with the first event, and a service that meets the events of another system does not handle
    /// them. `order-system verify` and the log of each start say the id. A database without an id, or without any data,
    /// takes this one; a database with data and another id is refused.
    #[arg(long, env = "SYSTEM_ID", value_name = "UUID")]
    pub system_id: Option<SystemId>,
    /// Other systems whose events are put among the dead letters, instead of being held until their own service takes
    /// them
    ///
    /// For events that no service will ever take: those that a service on a wrong database has published.
    #[arg(long, env = "DEAD_LETTER_SYSTEMS", value_name = "UUID,...", value_delimiter = ',')]
    pub dead_letter_systems: Vec<SystemId>,
    /// How long an event of another system is held before it is given back. Not a setting: for tests.
    #[arg(skip = HOLD)]
    pub hold: Duration,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self { system_id: None, dead_letter_systems: Vec::new(), hold: HOLD }
    }
}
