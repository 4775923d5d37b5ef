use std::time::Duration;

use clap::Args;
use saga_message::SystemId;

/// How long an event of another system is held before it is returned to the broker.
const HOLD: Duration = Duration::from_secs(30);

/// Which system a service belongs to, if that has to be configured.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "System")]
pub struct IdentitySettings {
    /// The id of the system that the database is to belong to: only for a new database that replaces a lost one
    ///
    /// The databases and the messages of a system contain one id. The order service creates it at its first start, the
    /// others learn it from the first event, and no service handles events of another system. `order-system verify` and
    /// the log of each start show it. A database without an id, or without any data, takes this one; a database with
    /// data and another id is refused.
    #[arg(long, env = "SYSTEM_ID", value_name = "UUID")]
    pub system_id: Option<SystemId>,
    /// Other systems whose events become dead letters, instead of being held until their own service takes them
    ///
    /// For events that no service will ever take, because a service with a wrong database has published them.
    #[arg(long, env = "DEAD_LETTER_SYSTEMS", value_name = "UUID,...", value_delimiter = ',')]
    pub dead_letter_systems: Vec<SystemId>,
    /// How long an event of another system is held before it is returned to the broker. Only tests change it.
    #[arg(skip = HOLD)]
    pub hold: Duration,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self { system_id: None, dead_letter_systems: Vec::new(), hold: HOLD }
    }
}
