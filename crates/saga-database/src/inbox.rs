use std::time::Duration;

use saga_message::Timestamp;
use sea_orm::{ConnectionTrait, DbErr, Statement};
use uuid::{NoContext, Uuid};

use super::Database;

/// The most rows of one call, so that it never holds the database up for long.
const AT_ONCE: i64 = 20_000;
/// The most candidates of one call. More of them than this that are not old can only come of a machine whose clock is
/// behind by more than a message is remembered; trimming then falls behind by as much.
const LOOKED_AT: i64 = 100_000;
/// An id that is further in the future was made by a clock that is wrong.
const FAR: Duration = Duration::from_secs(60 * 60);

/// Forgets messages that were handled before `before`, the oldest first, and returns how many it forgot.
///
/// Message ids grow with time (UUIDv7), so the key finds the candidates; but they have the time of the machine that
/// made them, which may be wrong. When a message was received, by this database's time, decides: the id of a machine
/// that is behind is a candidate early and stays all the same; that of one that is a little ahead is a candidate by so
/// much later. Ids from the far future would never be, so they are candidates at once; of these there are none where
/// all clocks are right.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn trim_inbox(database: &Database, before: Timestamp) -> Result<u64, DbErr> {
    let future = database.clock().now().after(FAR);
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
            LOOKED_AT.into(),
            AT_ONCE.into(),
        ],
    );
    Ok(database.writer().execute_raw(oldest).await?.rows_affected())
}

/// An id as a machine makes it at this time.
fn first_id(moment: Timestamp) -> Uuid {
    let micros = u64::try_from(moment.unix_micros()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, 0))
}
