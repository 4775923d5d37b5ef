use std::collections::{BTreeMap, BTreeSet};

use saga_database::{Rows, find_by, find_each_by, find_locked, keyset, read_rows, readable, take_due};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect, Select, Value, sea_query::Expr,
};
use shared_events::{OrderId, SagaId, Sku, Timestamp};

use super::{
    mapping::{item_from_row, reservation_from_row},
    tables::{reservations, stock_items},
};
use crate::domain::{Reservation, ReservationId, StockItem};

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

/// Returns the reservation with this id; with `owner`, only if a client with a key of this owner has made it.
///
/// # Errors
/// If the database fails or is unavailable, or the row cannot be read.
pub async fn reservation(
    connection: &impl ConnectionTrait,
    id: ReservationId,
    owner: Option<&str>,
) -> Result<Option<Reservation>, DbErr> {
    let query = reservations::Entity::find_by_id(id.0);
    let query = query.filter(Condition::all().add_option(owner.map(|owner| reservations::Column::Owner.eq(owner))));
    query.one(connection).await?.map(reservation_from_row).transpose()
}

/// Returns at most `limit` reservations with a greater id than `after`, ordered by id, each row converted separately.
/// With `order`, only those of this order; with `owner`, only those of clients with a key of this owner.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all_reservations(
    connection: &impl ConnectionTrait,
    order: Option<OrderId>,
    owner: Option<&str>,
    after: ReservationId,
    limit: u64,
) -> Result<Rows<i64, Reservation>, DbErr> {
    let (id, all) = (reservations::Column::ReservationId, reservations::Entity::find());
    let query = match owner {
        None => all.filter(id.gt(after.0)).order_by_asc(id),
        Some(owner) => {
            // The index by owner has no other rows; the databases use it only for queries that say so.
            let owned = all.filter(Expr::cust("owner <> ''"));
            let (backend, owner) = (connection.get_database_backend(), (reservations::Column::Owner, owner));
            keyset(owned, backend, owner, (id, after.0, i64::MAX), Order::Asc)
        }
    };
    let of_order = order.map(|order| reservations::Column::OrderId.eq(order.0));
    let query = query.filter(Condition::all().add_option(of_order)).limit(limit);
    read_rows(connection, query, id, reservation_from_row).await
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

/// Returns those of these reservations that belong to clients, locked, without those that none of the owners named with
/// the id may release (`None` may release all); and the ids of those that belong to sagas, unlocked: a client's request
/// does not change them. The owner of a reservation never changes, so it can be read
/// without a lock. If the reservations of sagas were locked here, in the order of their ids, two batches could lock the
/// same two sagas in different orders.
pub(crate) async fn of_clients(
    transaction: &DatabaseTransaction,
    ids: &BTreeMap<ReservationId, Vec<Option<&str>>>,
) -> Result<(Vec<Reservation>, Vec<ReservationId>), DbErr> {
    let keys = ids.keys().map(|id| id.0.into()).collect();
    let mut rows = find_by::<reservations::Entity, _>(transaction, reservations::Column::ReservationId, keys).await?;
    rows.retain(|row| {
        let callers = ids.get(&ReservationId(row.reservation_id));
        callers.into_iter().flatten().any(|owner| owner.is_none_or(|owner| owner == row.owner))
    });
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
    let due = reservations::Entity::find().filter(reservations::Column::WakeAt.lte(now.unix_micros()));
    let due = due.order_by_asc(reservations::Column::WakeAt);
    let columns = (reservations::Column::ReservationId, reservations::Column::WakeAt);
    take_due::<_, i64, _>(transaction, due, limit, columns, now, reservation_from_row).await
}

/// Returns the items with these SKUs, and locks them in the order of the SKUs. Of `expiring`, those that cannot be read
/// are logged and left out, so that they do not block the others.
///
/// # Errors
/// If the database fails or is unavailable, or a row of `skus` cannot be read.
pub(crate) async fn items_by_sku<'a>(
    transaction: &DatabaseTransaction,
    skus: &BTreeSet<&'a Sku>,
    expiring: impl IntoIterator<Item = &'a Sku>,
) -> Result<Vec<StockItem>, DbErr> {
    let needed: BTreeSet<&str> = skus.iter().map(|sku| sku.as_str()).collect();
    let mut all = needed.clone();
    all.extend(expiring.into_iter().map(Sku::as_str));
    let all = all.into_iter().map(Value::from).collect();
    let rows = find_locked::<stock_items::Entity, _>(transaction, stock_items::Column::Sku, all).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let sku = row.sku.clone();
        match item_from_row(row) {
            Ok(item) => items.push(item),
            Err(error) if needed.contains(sku.as_str()) => return Err(error),
            Err(error) => {
                tracing::error!(sku, %error, "an item cannot be read, and what expires of it is not released")
            }
        }
    }
    Ok(items)
}

async fn locked(
    transaction: &DatabaseTransaction,
    column: reservations::Column,
    keys: Vec<Value>,
) -> Result<Vec<Reservation>, DbErr> {
    let rows = find_locked::<reservations::Entity, _>(transaction, column, keys).await?;
    rows.into_iter().map(reservation_from_row).collect()
}
