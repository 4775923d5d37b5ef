use std::time::Duration;

use saga_message::Timestamp;
use sea_orm::{ConnectionTrait, DbErr, Statement};
use uuid::{NoContext, Uuid};

use super::Database;

/// The most rows that one call deletes, so that it never blocks the database for long.
const MAX_DELETED: i64 = 20_000;
/// The most candidates that one call reads from each end. If more of them than this are too young to delete, a
/// machine's clock must be behind by more than the retention period; trimming is then late by as much.
const MAX_CANDIDATES: i64 = 100_000;
/// An id that lies further in the future than this was made by a machine whose clock is wrong.
const FAR_FUTURE: Duration = Duration::from_secs(60 * 60);

/// Deletes messages that were handled before `before` from the inbox, the oldest first, and returns how many.
///
/// Message ids grow with time (UUIDv7), so the primary key finds the candidates. But an id contains the time of the
/// machine that made it, which may be wrong, so `received_at`, which is this database's time, decides. The id of a
/// machine whose clock is behind becomes a candidate too early, and is kept until it is old enough; the id of one that
/// is slightly ahead becomes a candidate that much later. Ids from the far future would never become candidates, so
/// they are candidates from the start; if all clocks are right, there are none.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn trim_inbox(database: &Database, before: Timestamp) -> Result<u64, DbErr> {
    let future = database.clock().now().after(FAR_FUTURE);
    let oldest = Statement::from_sql_and_values(
        database.backend(),
        "DELETE FROM inbox WHERE message_id IN (SELECT message_id FROM \
         (SELECT message_id, received_at FROM inbox WHERE message_id < $1 ORDER BY message_id LIMIT $4) AS past \
         WHERE received_at < $3 UNION ALL SELECT message_id FROM \
         (SELECT message_id, received_at FROM inbox WHERE message_id > $2 ORDER BY message_id LIMIT $4) AS future \
         WHERE received_at < $3 LIMIT $5)",
        [
            first_id(before).into(),
            first_id(future).into(),
            before.unix_micros().into(),
            MAX_CANDIDATES.into(),
            MAX_DELETED.into(),
        ],
    );
    Ok(database.writer().execute_raw(oldest).await?.rows_affected())
}

/// Returns an id as a machine would make it at this moment.
fn first_id(moment: Timestamp) -> Uuid {
    let micros = u64::try_from(moment.unix_micros()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, 0))
}
