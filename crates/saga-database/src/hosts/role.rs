//! What a server says about itself.

use sea_orm::sqlx::{self, PgConnection};

/// The role of a server at the moment at which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    /// The identifier that a primary and all its standbys have in common, and a copy made by a dump does not.
    pub(super) cluster: i64,
    /// When the server was started, in microseconds since 1970. Two addresses with the same value are one server.
    pub(super) started: i64,
    /// The timeline that the server writes; it gets a new, higher one when it is promoted. `None` in recovery, that is,
    /// on a standby.
    pub(super) timeline: Option<i64>,
    /// Whether transactions can only read, although the server is not in recovery.
    pub(super) read_only: bool,
    /// Whether a commit of this user has been waiting for a synchronous standby for longer than two seconds.
    pub(super) commits_wait: bool,
}

/// The control file names the timeline of the last checkpoint, which for a moment after a promotion is the one before.
/// The name of the current WAL file begins with the timeline that is being written.
const QUERY: &str = "SELECT system_identifier, \
     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, \
     CASE WHEN pg_is_in_recovery() THEN NULL \
          ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::bigint END, \
     NOT pg_is_in_recovery() AND current_setting('transaction_read_only')::boolean, \
     EXISTS (SELECT FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'SyncRep' \
                 AND query_start < clock_timestamp() - interval '2 seconds') \
     FROM pg_control_system()";

/// Asks the server of this session.
pub(super) async fn ask(session: &mut PgConnection) -> Result<Role, sqlx::Error> {
    let (cluster, started, timeline, read_only, commits_wait) = sqlx::query_as(QUERY).fetch_one(session).await?;
    Ok(Role { cluster, started, timeline, read_only, commits_wait })
}
