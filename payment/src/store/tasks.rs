use saga_database::take_due;
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::Expr,
};
use shared_events::Timestamp;

use super::{mapping::from_row, tables::payments};
use crate::{domain::Payment, gateway::Reference};

/// Returns at most `limit` payments that are due, the longest due first, without those that another replica is taking,
/// and locks them. A payment that cannot be read is logged as an error and postponed, so that it does not block the
/// others.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn due(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<Vec<Payment>, DbErr> {
    let due = payments::Entity::find().filter(payments::Column::DueAt.lte(now.unix_micros()));
    let due = due.order_by_asc(payments::Column::DueAt);
    take_due::<_, i64, _>(
        transaction,
        due,
        limit,
        (payments::Column::PaymentId, payments::Column::DueAt),
        now,
        from_row,
    )
    .await
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
