use sea_orm::{ConnectionTrait, DbErr, Statement};
use shared_events::Timestamp;
use uuid::{NoContext, Uuid};

use super::Database;

/// The most rows of one call, so that it never holds the database up for long.
const AT_ONCE: i64 = 20_000;

/// Forgets messages that were handled before `before`, the oldest first, and returns how many it forgot.
///
/// Message ids grow with time (UUIDv7), so the key alone finds the old ones.
///
/// # Errors
/// What the database says.
pub async fn trim_inbox(database: &Database, before: Timestamp) -> Result<u64, DbErr> {
    let micros = u64::try_from(before.unix_micros()).unwrap_or(0);
    let moment = uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, 0);
    let oldest = Statement::from_sql_and_values(
        database.backend(),
        "DELETE FROM inbox WHERE message_id IN \
         (SELECT message_id FROM inbox WHERE message_id < $1 AND received_at < $2 ORDER BY message_id LIMIT $3)",
        [Uuid::new_v7(moment).into(), before.unix_micros().into(), AT_ONCE.into()],
    );
    Ok(database.writer().execute_raw(oldest).await?.rows_affected())
}
