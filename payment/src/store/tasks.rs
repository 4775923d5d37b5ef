use std::time::Duration;

use saga_database::{Rows, read_rows};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockBehavior, LockType},
};
use shared_events::Timestamp;

use super::{mapping::from_row, tables::payments};
use crate::{domain::Payment, gateway::Reference};

/// How long a due payment is postponed if its row cannot be read.
const UNREADABLE_DELAY: Duration = Duration::from_secs(300);

/// Returns at most `limit` payments that are due, the longest due first, without those that another replica is taking,
/// and locks them. A payment that cannot be read is logged as an error and postponed, so that it does not block the
/// others.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn due(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<Vec<Payment>, DbErr> {
    let query = payments::Entity::find()
        .filter(payments::Column::DueAt.lte(now.unix_micros()))
        .order_by_asc(payments::Column::DueAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let rows: Rows<i64, Payment> = read_rows(transaction, query, payments::Column::PaymentId, from_row).await?;
    let (mut due, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for (id, row) in rows {
        match row {
            Ok(payment) => due.push(payment),
            Err(error) => {
                tracing::error!(
                    payment.id = id, %error,
                    "a payment is due but cannot be read: repair its row; the next attempt is in 5 minutes"
                );
                unreadable.push(id);
            }
        }
    }
    if !unreadable.is_empty() {
        payments::Entity::update_many()
            .col_expr(payments::Column::DueAt, now.after(UNREADABLE_DELAY).unix_micros().into())
            .filter(payments::Column::PaymentId.is_in(unreadable))
            .exec(transaction)
            .await?;
    }
    Ok(due)
}

/// Makes the payments due that are to be voided and never become due: a replica of a version without due times left
/// them behind.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn adopt_voids(transaction: &DatabaseTransaction, now: Timestamp) -> Result<(), DbErr> {
    payments::Entity::update_many()
        .col_expr(payments::Column::DueAt, now.unix_micros().into())
        // The condition is a literal, as in the index: with a parameter, neither database would use the index.
        .filter(Expr::cust("state = 'VOIDING'"))
        .filter(payments::Column::DueAt.is_null())
        .exec(transaction)
        .await?;
    Ok(())
}

/// Makes all payments due that an earlier process was asking about. On a server these may be those of another replica,
/// so there they become due by themselves; an SQLite file has only one process.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn take_over(transaction: &DatabaseTransaction, now: Timestamp) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Sqlite {
        payments::Entity::update_many()
            .col_expr(payments::Column::DueAt, now.unix_micros().into())
            .filter(payments::Column::DueAt.gt(now.unix_micros()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Makes the payment with this reference due at `at`, if it waits for an answer and would be due later.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn ask_soon(
    transaction: &DatabaseTransaction,
    reference: &Reference,
    at: Timestamp,
) -> Result<(), DbErr> {
    payments::Entity::update_many()
        .col_expr(payments::Column::DueAt, at.unix_micros().into())
        .filter(payments::Column::Reference.eq(reference.0.as_str()))
        // As in the index.
        .filter(Expr::cust("due_at IS NOT NULL"))
        .filter(payments::Column::DueAt.gt(at.unix_micros()))
        .exec(transaction)
        .await?;
    Ok(())
}
