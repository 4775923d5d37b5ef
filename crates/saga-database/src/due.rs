//! Takes the rows that are due. One that cannot be read is postponed, so that it does not block the others.

use std::{fmt::Display, time::Duration};

use saga_message::Timestamp;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _, QuerySelect as _, Select, TryGetable,
    Value,
    sea_query::{LockBehavior, LockType},
};

use crate::{Rows, read_rows};

/// How long a due row is postponed that cannot be read.
pub const UNREADABLE_DELAY: Duration = Duration::from_secs(300);

/// Returns at most `limit` rows that `select` finds, in its order, and locks them; without those that another
/// transaction has locked. `of_row` converts each of them. One that cannot be read is logged as an error, and its
/// column `due_at` is set to [`UNREADABLE_DELAY`] after `now`.
///
/// # Errors
/// If the database fails.
pub async fn take_due<E, K, T>(
    transaction: &DatabaseTransaction,
    select: Select<E>,
    limit: u64,
    (key, due_at): (E::Column, E::Column),
    now: Timestamp,
    of_row: impl Fn(E::Model) -> Result<T, DbErr>,
) -> Result<Vec<T>, DbErr>
where
    E: EntityTrait,
    K: TryGetable + Display + Into<Value>,
{
    let select = select.limit(limit).lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let rows: Rows<K, T> = read_rows(transaction, select, key, of_row).await?;
    postpone_unreadable::<E, K, T>(transaction, rows, (key, due_at), now).await
}

/// Returns those of the due `rows` that can be read. The others are logged and postponed, as by [`take_due`].
///
/// # Errors
/// If the database fails.
pub async fn postpone_unreadable<E, K, T>(
    transaction: &DatabaseTransaction,
    rows: Rows<K, T>,
    (key, due_at): (E::Column, E::Column),
    now: Timestamp,
) -> Result<Vec<T>, DbErr>
where
    E: EntityTrait,
    K: Display + Into<Value>,
{
    let entity = E::default();
    let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for (id, row) in rows {
        match row {
            Ok(row) => readable.push(row),
            Err(error) => {
                tracing::error!(
                    table = entity.table_name(), key = %id, %error,
                    "a row is due but cannot be read: repair it; the next attempt is in 5 minutes"
                );
                unreadable.push(id);
            }
        }
    }
    if !unreadable.is_empty() {
        E::update_many()
            .col_expr(due_at, now.after(UNREADABLE_DELAY).unix_micros().into())
            .filter(key.is_in(unreadable))
            .exec(transaction)
            .await?;
    }
    Ok(readable)
}
