use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Value,
    sea_query::{LockBehavior, LockType},
};
use service_kit::database::{find_by, find_locked};
use shared_events::{OrderId, SagaId, Timestamp};

use super::{
    mapping::from_row,
    tables::{order_events, orders},
};
use crate::domain::{IdempotencyKey, Order, Status};

/// The order of this number.
///
/// # Errors
/// What the database says.
pub async fn by_id(connection: &impl ConnectionTrait, id: OrderId) -> Result<Option<Order>, DbErr> {
    orders::Entity::find_by_id(id.0).one(connection).await?.map(from_row).transpose()
}

/// At most `limit` orders behind `after`, ascending by number, only those of `status` where one is given.
///
/// # Errors
/// What the database says.
pub async fn page(
    connection: &impl ConnectionTrait,
    after: OrderId,
    status: Option<Status>,
    limit: u64,
) -> Result<Vec<Order>, DbErr> {
    let mut query = orders::Entity::find().filter(orders::Column::OrderId.gt(after.0));
    if let Some(status) = status {
        query = query.filter(orders::Column::Status.eq(status.as_str()));
    }
    let rows = query.order_by_asc(orders::Column::OrderId).limit(limit).all(connection).await?;
    rows.into_iter().map(from_row).collect()
}

/// The orders of these sagas.
///
/// # Errors
/// What the database says.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Order>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let rows = find_by::<orders::Entity, _>(connection, orders::Column::SagaId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// How many orders have not ended.
///
/// # Errors
/// What the database says.
pub async fn under_way(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    orders::Entity::find().filter(orders::Column::WakeAt.is_not_null()).count(connection).await
}

/// What happened to an order, oldest first.
///
/// # Errors
/// What the database says.
pub async fn timeline(connection: &impl ConnectionTrait, id: OrderId) -> Result<Vec<order_events::Model>, DbErr> {
    order_events::Entity::find()
        .filter(order_events::Column::OrderId.eq(id.0))
        .order_by_asc(order_events::Column::RecordedAt)
        .order_by_asc(order_events::Column::MessageId)
        .all(connection)
        .await
}

pub(crate) async fn by_sagas(transaction: &DatabaseTransaction, sagas: Vec<SagaId>) -> Result<Vec<Order>, DbErr> {
    locked(transaction, orders::Column::SagaId, sagas.into_iter().map(|saga| saga.0.into()).collect()).await
}

pub(crate) async fn by_order_ids(transaction: &DatabaseTransaction, ids: Vec<OrderId>) -> Result<Vec<Order>, DbErr> {
    locked(transaction, orders::Column::OrderId, ids.into_iter().map(|id| id.0.into()).collect()).await
}

pub(crate) async fn by_idempotency_keys(
    transaction: &DatabaseTransaction,
    keys: Vec<&IdempotencyKey>,
) -> Result<Vec<Order>, DbErr> {
    let keys = keys.into_iter().map(|key| key.as_str().into()).collect();
    locked(transaction, orders::Column::IdempotencyKey, keys).await
}

/// The orders that the clock is to look at, at most `limit`, without those that another replica is looking at.
pub(crate) async fn due(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<Vec<Order>, DbErr> {
    let rows = orders::Entity::find()
        .filter(orders::Column::WakeAt.lte(now.unix_micros()))
        .order_by_asc(orders::Column::WakeAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(transaction)
        .await?;
    rows.into_iter().map(from_row).collect()
}

async fn locked(
    transaction: &DatabaseTransaction,
    column: orders::Column,
    mut keys: Vec<Value>,
) -> Result<Vec<Order>, DbErr> {
    keys.dedup();
    let rows = find_locked::<orders::Entity, _>(transaction, column, keys).await?;
    rows.into_iter().map(from_row).collect()
}
