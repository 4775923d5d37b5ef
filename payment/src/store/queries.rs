use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use service_kit::database::{find_by, find_locked};
use shared_events::SagaId;

use super::{mapping::from_row, tables::payments};
use crate::domain::{Payment, PaymentId, State};

/// The payment of this number; not the memory of a cancellation.
///
/// # Errors
/// What the database says.
pub async fn by_id(connection: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    let decided = payments::Column::State.ne(State::Cancelled.as_str());
    payments::Entity::find_by_id(id.0).filter(decided).one(connection).await?.map(from_row).transpose()
}

/// At most `limit` payments behind `after`, ascending by number, without the memory of cancellations.
///
/// # Errors
/// What the database says.
pub async fn page(connection: &impl ConnectionTrait, after: PaymentId, limit: u64) -> Result<Vec<Payment>, DbErr> {
    let decided = payments::Column::State.ne(State::Cancelled.as_str());
    behind(connection, after, limit, Some(decided)).await
}

/// All rows behind `after`, `limit` at a time, also those that only remember a cancellation; for the audit.
///
/// # Errors
/// What the database says.
pub async fn all(connection: &impl ConnectionTrait, after: PaymentId, limit: u64) -> Result<Vec<Payment>, DbErr> {
    behind(connection, after, limit, None).await
}

/// The payments of these sagas, also those that only remember a cancellation; for the audit.
///
/// # Errors
/// What the database says.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Payment>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let rows = find_by::<payments::Entity, _>(connection, payments::Column::SagaId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

async fn behind(
    connection: &impl ConnectionTrait,
    after: PaymentId,
    limit: u64,
    only: Option<Expr>,
) -> Result<Vec<Payment>, DbErr> {
    let mut query = payments::Entity::find().filter(payments::Column::PaymentId.gt(after.0));
    if let Some(only) = only {
        query = query.filter(only);
    }
    let rows = query.order_by_asc(payments::Column::PaymentId).limit(limit).all(connection).await?;
    rows.into_iter().map(from_row).collect()
}

pub(crate) async fn by_sagas(transaction: &DatabaseTransaction, sagas: Vec<SagaId>) -> Result<Vec<Payment>, DbErr> {
    let keys = sagas.into_iter().map(|saga| saga.0.into()).collect();
    let rows = find_locked::<payments::Entity, _>(transaction, payments::Column::SagaId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// The sagas whose payments the gateway is still to void, the oldest first, at most `limit`.
pub(crate) async fn to_void(transaction: &DatabaseTransaction, limit: u64) -> Result<Vec<SagaId>, DbErr> {
    let sagas: Vec<Option<uuid::Uuid>> = payments::Entity::find()
        .select_only()
        .column(payments::Column::SagaId)
        // As the index has it: with a parameter in its place, neither database would use the index.
        .filter(Expr::cust("state = 'VOIDING'"))
        .order_by_asc(payments::Column::PaymentId)
        .limit(limit)
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(sagas.into_iter().flatten().map(SagaId).collect())
}
