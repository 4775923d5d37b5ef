use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value,
    sea_query::{LockBehavior, LockType},
};
use service_kit::database::{find_by, find_locked};
use shared_events::{SagaId, Sku, Timestamp};

use super::{
    mapping::{item_from_row, reservation_from_row},
    tables::{reservations, stock_items},
};
use crate::domain::{Reservation, ReservationId, StockItem};

/// The stock of this item.
///
/// # Errors
/// What the database says.
pub async fn item(connection: &impl ConnectionTrait, sku: &Sku) -> Result<Option<StockItem>, DbErr> {
    stock_items::Entity::find_by_id(sku.as_str()).one(connection).await?.map(item_from_row).transpose()
}

/// At most `limit` items behind `after`, ascending by SKU.
///
/// # Errors
/// What the database says.
pub async fn page(connection: &impl ConnectionTrait, after: Option<&Sku>, limit: u64) -> Result<Vec<StockItem>, DbErr> {
    let rows = all_items(connection, after.map_or("", Sku::as_str), limit).await?;
    rows.into_iter().map(item_from_row).collect()
}

/// All items behind `after`, `limit` at a time, as they stand in the table; for the audit, which is to see also what
/// does not add up.
///
/// # Errors
/// What the database says.
pub async fn all_items(
    connection: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<stock_items::Model>, DbErr> {
    stock_items::Entity::find()
        .filter(stock_items::Column::Sku.gt(after))
        .order_by_asc(stock_items::Column::Sku)
        .limit(limit)
        .all(connection)
        .await
}

/// All reservations behind `after`, `limit` at a time; for the audit.
///
/// # Errors
/// What the database says.
pub async fn all_reservations(
    connection: &impl ConnectionTrait,
    after: ReservationId,
    limit: u64,
) -> Result<Vec<Reservation>, DbErr> {
    let rows = reservations::Entity::find()
        .filter(reservations::Column::ReservationId.gt(after.0))
        .order_by_asc(reservations::Column::ReservationId)
        .limit(limit)
        .all(connection)
        .await?;
    rows.into_iter().map(reservation_from_row).collect()
}

/// The reservations of these sagas; for the audit.
///
/// # Errors
/// What the database says.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Reservation>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let rows = find_by::<reservations::Entity, _>(connection, reservations::Column::SagaId, keys).await?;
    rows.into_iter().map(reservation_from_row).collect()
}

pub(crate) async fn by_sagas(
    transaction: &DatabaseTransaction,
    sagas: impl IntoIterator<Item = SagaId>,
) -> Result<Vec<Reservation>, DbErr> {
    let sagas = sagas.into_iter().map(|saga| saga.0.into()).collect();
    locked(transaction, reservations::Column::SagaId, sagas).await
}

/// The reservations of these numbers that clients hold, locked, and the numbers that belong to sagas, which a client's
/// request only looks at. Whose a reservation is never changes, so that can be seen without a lock. Were it locked by its
/// number, two batches could lock the same two sagas in different orders.
pub(crate) async fn of_clients(
    transaction: &DatabaseTransaction,
    ids: impl IntoIterator<Item = ReservationId>,
) -> Result<(Vec<Reservation>, Vec<ReservationId>), DbErr> {
    let ids = ids.into_iter().map(|id| id.0.into()).collect();
    let rows = find_by::<reservations::Entity, _>(transaction, reservations::Column::ReservationId, ids).await?;
    let (of_sagas, of_clients): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.saga_id.is_some());
    let mut of_clients: Vec<i64> = of_clients.into_iter().map(|row| row.reservation_id).collect();
    of_clients.sort_unstable();
    let of_clients = of_clients.into_iter().map(Value::from).collect();
    let of_clients = locked(transaction, reservations::Column::ReservationId, of_clients).await?;
    Ok((of_clients, of_sagas.into_iter().map(|row| ReservationId(row.reservation_id)).collect()))
}

/// The reservations that the clock is to look at, at most `limit`, without those that another replica is looking at.
pub(crate) async fn due(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Reservation>, DbErr> {
    let rows = reservations::Entity::find()
        .filter(reservations::Column::WakeAt.lte(now.unix_micros()))
        .order_by_asc(reservations::Column::WakeAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(transaction)
        .await?;
    rows.into_iter().map(reservation_from_row).collect()
}

pub(crate) async fn items_by_sku(
    transaction: &DatabaseTransaction,
    skus: impl IntoIterator<Item = &Sku>,
) -> Result<Vec<StockItem>, DbErr> {
    let skus = skus.into_iter().map(|sku| sku.as_str().into()).collect();
    let rows = find_locked::<stock_items::Entity, _>(transaction, stock_items::Column::Sku, skus).await?;
    rows.into_iter().map(item_from_row).collect()
}

async fn locked(
    transaction: &DatabaseTransaction,
    column: reservations::Column,
    keys: Vec<Value>,
) -> Result<Vec<Reservation>, DbErr> {
    let rows = find_locked::<reservations::Entity, _>(transaction, column, keys).await?;
    rows.into_iter().map(reservation_from_row).collect()
}
