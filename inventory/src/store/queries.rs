use std::time::Duration;

use saga_database::{Rows, find_by, find_each_by, find_locked, read_rows, readable};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, Value,
    sea_query::{LockBehavior, LockType},
};
use shared_events::{OrderId, SagaId, Sku, Timestamp};

use super::{
    mapping::{item_from_row, reservation_from_row},
    tables::{reservations, stock_items},
};
use crate::domain::{Reservation, ReservationId, StockItem};

/// How long a due reservation is postponed if its row cannot be read.
const UNREADABLE_DELAY: Duration = Duration::from_secs(300);

/// Returns the stock of this item.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn item(connection: &impl ConnectionTrait, sku: &Sku) -> Result<Option<StockItem>, DbErr> {
    stock_items::Entity::find_by_id(sku.as_str()).one(connection).await?.map(item_from_row).transpose()
}

/// Returns at most `limit` items with a greater SKU than `after`, ordered by SKU. Each row is converted separately,
/// because one of them may be unreadable.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn page(
    connection: &impl ConnectionTrait,
    after: Option<&Sku>,
    limit: u64,
) -> Result<Rows<String, StockItem>, DbErr> {
    let query = items_after(after.map_or("", Sku::as_str), limit);
    read_rows(connection, query, stock_items::Column::Sku, item_from_row).await
}

/// Returns at most `limit` rows of items with a greater SKU than `after`, ordered by SKU. Used by the audit, which also
/// needs the rows whose numbers do not add up.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all_items(
    connection: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<stock_items::Model>, DbErr> {
    items_after(after, limit).all(connection).await
}

fn items_after(after: &str, limit: u64) -> Select<stock_items::Entity> {
    let items = stock_items::Entity::find().filter(stock_items::Column::Sku.gt(after));
    items.order_by_asc(stock_items::Column::Sku).limit(limit)
}

/// Returns the reservation with this id.
///
/// # Errors
/// If the database fails or is unavailable, or the row cannot be read.
pub async fn reservation(connection: &impl ConnectionTrait, id: ReservationId) -> Result<Option<Reservation>, DbErr> {
    reservations::Entity::find_by_id(id.0).one(connection).await?.map(reservation_from_row).transpose()
}

/// Returns at most `limit` reservations with a greater id than `after`, ordered by id, each row converted separately.
/// With `order`, only those of this order.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all_reservations(
    connection: &impl ConnectionTrait,
    order: Option<OrderId>,
    after: ReservationId,
    limit: u64,
) -> Result<Rows<i64, Reservation>, DbErr> {
    let mut query = reservations::Entity::find().filter(reservations::Column::ReservationId.gt(after.0));
    if let Some(order) = order {
        query = query.filter(reservations::Column::OrderId.eq(order.0));
    }
    let query = query.order_by_asc(reservations::Column::ReservationId).limit(limit);
    read_rows(connection, query, reservations::Column::ReservationId, reservation_from_row).await
}

/// Returns the reservations of these sagas, without those that cannot be read. Used by the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Reservation>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let (saga_id, id) = (reservations::Column::SagaId, reservations::Column::ReservationId);
    let rows: Rows<i64, Reservation> =
        find_each_by::<reservations::Entity, _, _, _>(connection, saga_id, keys, id, reservation_from_row).await?;
    Ok(readable("reservations", rows))
}

/// Returns the reservations of these sagas, and locks them in the order of the sagas' ids.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn by_sagas(
    transaction: &DatabaseTransaction,
    sagas: impl IntoIterator<Item = SagaId>,
) -> Result<Vec<Reservation>, DbErr> {
    let sagas = sagas.into_iter().map(|saga| saga.0.into()).collect();
    locked(transaction, reservations::Column::SagaId, sagas).await
}

/// Returns those of these reservations that belong to clients, locked, and the ids of those that belong to sagas,
/// unlocked: a client's request does not change them. The owner of a reservation never changes, so it can be read
/// without a lock. If the reservations of sagas were locked here, in the order of their ids, two batches could lock the
/// same two sagas in different orders.
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

/// Returns at most `limit` reservations that are due, without those that another replica is processing, and locks them.
/// A reservation that cannot be read is logged as an error and postponed, so that it does not block the others.
pub(crate) async fn due(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Reservation>, DbErr> {
    let query = reservations::Entity::find()
        .filter(reservations::Column::WakeAt.lte(now.unix_micros()))
        .order_by_asc(reservations::Column::WakeAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let rows: Rows<i64, Reservation> =
        read_rows(transaction, query, reservations::Column::ReservationId, reservation_from_row).await?;
    let (mut due, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for (id, row) in rows {
        match row {
            Ok(reservation) => due.push(reservation),
            Err(error) => {
                tracing::error!(
                    reservation.id = id, %error,
                    "a reservation is due but cannot be read: repair its row; the next attempt is in 5 minutes"
                );
                unreadable.push(id);
            }
        }
    }
    if !unreadable.is_empty() {
        reservations::Entity::update_many()
            .col_expr(reservations::Column::WakeAt, now.after(UNREADABLE_DELAY).unix_micros().into())
            .filter(reservations::Column::ReservationId.is_in(unreadable))
            .exec(transaction)
            .await?;
    }
    Ok(due)
}

/// Returns the items with these SKUs, and locks them in the order of the SKUs.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
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
