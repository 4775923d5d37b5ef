use saga_database::{Rows, find_each_by, find_locked, read_rows, readable};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use shared_events::SagaId;

use super::{mapping::from_row, tables::payments};
use crate::domain::{Payment, PaymentId, State};

/// The payment of this number; not the memory of a cancellation.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn by_id(connection: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    let decided = payments::Column::State.ne(State::Cancelled.as_str());
    payments::Entity::find_by_id(id.0).filter(decided).one(connection).await?.map(from_row).transpose()
}

/// At most `limit` payments behind `after`, ascending by number, without the memory of cancellations; each by itself,
/// for one of them may be unreadable.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn page(
    connection: &impl ConnectionTrait,
    after: PaymentId,
    limit: u64,
) -> Result<Rows<i64, Payment>, DbErr> {
    let decided = payments::Column::State.ne(State::Cancelled.as_str());
    behind(connection, after, limit, Some(decided)).await
}

/// All rows behind `after`, `limit` at a time, each by itself, also those that only remember a cancellation; for the
/// audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all(connection: &impl ConnectionTrait, after: PaymentId, limit: u64) -> Result<Rows<i64, Payment>, DbErr> {
    behind(connection, after, limit, None).await
}

/// The payments of these sagas, also those that only remember a cancellation, without those that cannot be read; for
/// the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Payment>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let (saga_id, payment_id) = (payments::Column::SagaId, payments::Column::PaymentId);
    let rows: Rows<i64, Payment> =
        find_each_by::<payments::Entity, _, _, _>(connection, saga_id, keys, payment_id, from_row).await?;
    Ok(readable("payments", rows))
}

async fn behind(
    connection: &impl ConnectionTrait,
    after: PaymentId,
    limit: u64,
    only: Option<Expr>,
) -> Result<Rows<i64, Payment>, DbErr> {
    let mut query = payments::Entity::find().filter(payments::Column::PaymentId.gt(after.0));
    if let Some(only) = only {
        query = query.filter(only);
    }
    let query = query.order_by_asc(payments::Column::PaymentId).limit(limit);
    read_rows(connection, query, payments::Column::PaymentId, from_row).await
}

pub(crate) async fn by_sagas(transaction: &DatabaseTransaction, sagas: Vec<SagaId>) -> Result<Vec<Payment>, DbErr> {
    let keys = sagas.into_iter().map(|saga| saga.0.into()).collect();
    let rows = find_locked::<payments::Entity, _>(transaction, payments::Column::SagaId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// The payments that the gateway is still to void, the oldest first, at most `limit`, each by itself; without those of
/// the numbers `except`.
pub(crate) async fn to_void(
    transaction: &DatabaseTransaction,
    except: Vec<i64>,
    limit: u64,
) -> Result<Rows<i64, Payment>, DbErr> {
    // As the index has it: with a parameter in its place, neither database would use the index.
    let mut query = payments::Entity::find().filter(Expr::cust("state = 'VOIDING'"));
    if !except.is_empty() {
        query = query.filter(payments::Column::PaymentId.is_not_in(except));
    }
    let query = query.order_by_asc(payments::Column::PaymentId).limit(limit);
    read_rows(transaction, query, payments::Column::PaymentId, from_row).await
}
