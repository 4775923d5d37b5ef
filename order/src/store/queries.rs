use std::collections::{BTreeMap, BTreeSet, HashSet};

use saga_database::{Rows, find_each_by, find_locked, read_rows, readable, take_due};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, Value, sea_query::Expr,
};
use shared_events::{OrderDetails, OrderId, OwnedKey, SagaId, Timestamp};
use uuid::Uuid;

use super::{
    mapping::from_row,
    tables::{order_events, orders},
};
use crate::domain::{IdempotencyKey, Order, Status};

/// Returns the order with this id; with `owner`, only if it belongs to this owner.
///
/// # Errors
/// If the database fails or is unavailable, or the row cannot be read.
pub async fn by_id(
    connection: &impl ConnectionTrait,
    id: OrderId,
    owner: Option<&str>,
) -> Result<Option<Order>, DbErr> {
    let query = orders::Entity::find_by_id(id.0);
    let query = query.filter(Condition::all().add_option(owner.map(|owner| orders::Column::Owner.eq(owner))));
    query.one(connection).await?.map(from_row).transpose()
}

/// Returns whether there is an order with this id that belongs to this owner, readable or not.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn has_owner(connection: &impl ConnectionTrait, id: OrderId, owner: &str) -> Result<bool, DbErr> {
    let query = orders::Entity::find_by_id(id.0).select_only().column(orders::Column::OrderId);
    let found: Option<i64> = query.filter(orders::Column::Owner.eq(owner)).into_tuple().one(connection).await?;
    Ok(found.is_some())
}

/// Returns what never changes about an order; `None` if there is no such order, or its row cannot be read.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn details(connection: &impl ConnectionTrait, id: OrderId) -> Result<Option<OrderDetails>, DbErr> {
    let query = orders::Entity::find_by_id(id.0);
    let rows: Rows<i64, Order> = read_rows(connection, query, orders::Column::OrderId, from_row).await?;
    Ok(readable("orders", rows).pop().map(|order| order.details))
}

/// Returns at most `limit` orders with a greater id than `after`, ordered by id, each row converted separately. Used by
/// the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all(connection: &impl ConnectionTrait, after: OrderId, limit: u64) -> Result<Rows<i64, Order>, DbErr> {
    let query = orders::Entity::find().filter(orders::Column::OrderId.gt(after.0));
    let query = query.order_by_asc(orders::Column::OrderId).limit(limit);
    read_rows(connection, query, orders::Column::OrderId, from_row).await
}

/// Returns the orders of these sagas, without those that cannot be read.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn of_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<Vec<Order>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let (saga_id, order_id) = (orders::Column::SagaId, orders::Column::OrderId);
    let rows: Rows<i64, Order> =
        find_each_by::<orders::Entity, _, _, _>(connection, saga_id, keys, order_id, from_row).await?;
    Ok(readable("orders", rows))
}

/// Returns those of `sagas` that have an order, readable or not. Used by the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn known_sagas(connection: &impl ConnectionTrait, sagas: &[SagaId]) -> Result<HashSet<SagaId>, DbErr> {
    let keys = sagas.iter().map(|saga| saga.0.into()).collect();
    let column = orders::Column::SagaId;
    let rows: Rows<Uuid, ()> =
        find_each_by::<orders::Entity, _, _, _>(connection, column, keys, column, |_| Ok(())).await?;
    Ok(rows.into_iter().map(|(saga, _)| SagaId(saga)).collect())
}

/// Counts the orders that have not ended, or wait for the capture of their payment.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn count_unfinished(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    orders::Entity::find().filter(orders::Column::WakeAt.is_not_null()).count(connection).await
}

/// Returns when the oldest order was placed that has not ended. Orders are numbered as they are placed, so it reads the
/// first order of each of the two statuses from their index.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn oldest_open(connection: &impl ConnectionTrait) -> Result<Option<Timestamp>, DbErr> {
    let mut oldest = None;
    for status in [Status::Pending, Status::Compensating] {
        let first = orders::Entity::find()
            .select_only()
            .column(orders::Column::PlacedAt)
            .filter(orders::Column::Status.eq(status.as_str()))
            .order_by_asc(orders::Column::OrderId)
            .limit(1)
            .into_tuple::<i64>()
            .one(connection)
            .await?;
        oldest = [oldest, first].into_iter().flatten().min();
    }
    Ok(oldest.map(Timestamp::from_unix_micros))
}

/// Returns the timeline of an order, oldest entry first.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn timeline(connection: &impl ConnectionTrait, id: OrderId) -> Result<Vec<order_events::Model>, DbErr> {
    order_events::Entity::find()
        .filter(order_events::Column::OrderId.eq(id.0))
        .order_by_asc(order_events::Column::RecordedAt)
        .order_by_asc(order_events::Column::MessageId)
        .all(connection)
        .await
}

/// Returns the trace context of the first event of an order that has one; `None` if none has.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn traceparent(connection: &impl ConnectionTrait, id: OrderId) -> Result<Option<String>, DbErr> {
    let column = order_events::Column::Traceparent;
    let query = order_events::Entity::find().select_only().column(column);
    let query = query.filter(order_events::Column::OrderId.eq(id.0)).filter(column.is_not_null());
    let query = query.order_by_asc(order_events::Column::RecordedAt).order_by_asc(order_events::Column::MessageId);
    Ok(query.limit(1).into_tuple::<Option<String>>().one(connection).await?.flatten())
}

/// Returns the orders of these sagas, and locks them.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn by_sagas(transaction: &DatabaseTransaction, sagas: Vec<SagaId>) -> Result<Vec<Order>, DbErr> {
    locked(transaction, orders::Column::SagaId, sagas.into_iter().map(|saga| saga.0.into()).collect()).await
}

/// Returns those of the orders with these ids that one of the owners named with the id may see (`None` may see all),
/// and locks them. An order that nobody of these may see is not there, also if it cannot be read. Fails like
/// [`by_sagas`].
pub(crate) async fn by_order_ids(
    transaction: &DatabaseTransaction,
    ids: &BTreeMap<OrderId, Vec<Option<&str>>>,
) -> Result<Vec<Order>, DbErr> {
    let keys = ids.keys().map(|id| id.0.into()).collect();
    let mut rows = find_locked::<orders::Entity, _>(transaction, orders::Column::OrderId, keys).await?;
    rows.retain(|row| {
        let callers = ids.get(&OrderId(row.order_id));
        callers.into_iter().flatten().any(|owner| owner.is_none_or(|owner| owner == row.owner))
    });
    rows.into_iter().map(from_row).collect()
}

/// Returns the orders with these owners and idempotency keys, and locks them. Fails like [`by_sagas`].
pub(crate) async fn by_idempotency_keys(
    transaction: &DatabaseTransaction,
    keys: BTreeSet<(&str, &IdempotencyKey)>,
) -> Result<Vec<Order>, DbErr> {
    let (unscoped, scoped): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(owner, _)| owner.is_empty());
    let unscoped = unscoped.into_iter().map(|(_, key)| key.as_str().into()).collect();
    let scoped = scoped.into_iter().map(|(owner, key)| OwnedKey::text_of(owner, key).into()).collect();
    let mut found = locked(transaction, orders::Column::IdempotencyKey, unscoped).await?;
    // One more query only if a batch has orders with and without owners.
    found.append(&mut locked(transaction, orders::Column::ScopedKey, scoped).await?);
    Ok(found)
}

/// Returns at most `limit` orders that are due, without those that another replica is processing, and locks them. An
/// order that cannot be read is logged as an error and postponed, so that it does not block the others.
pub(crate) async fn due(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<Vec<Order>, DbErr> {
    let due = orders::Entity::find().filter(orders::Column::WakeAt.lte(now.unix_micros()));
    take(transaction, due.order_by_asc(orders::Column::WakeAt), now, limit).await
}

/// Returns at most `limit` orders that a release without captures has confirmed, oldest first, like [`due`].
pub(crate) async fn to_capture(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Order>, DbErr> {
    take(transaction, confirmed_without_captures(), now, limit).await
}

fn confirmed_without_captures() -> Select<orders::Entity> {
    // The condition is a literal, as in the index: with a parameter, neither database would use the index.
    let condition = Expr::cust("status || '' = 'CONFIRMED' AND capture IS NULL AND wake_at IS NULL");
    orders::Entity::find().filter(condition).order_by_asc(orders::Column::OrderId)
}

async fn take(
    transaction: &DatabaseTransaction,
    query: Select<orders::Entity>,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Order>, DbErr> {
    let columns = (orders::Column::OrderId, orders::Column::WakeAt);
    take_due::<_, i64, _>(transaction, query, limit, columns, now, from_row).await
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

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait as _, Statement};
    use shared_events::Service;
    use testkit::service::{DatabaseKind, TestDatabase};

    use super::*;
    use crate::Migrator;

    /// Each tick asks for them, and there are none: it must not read all confirmed orders for that.
    #[tokio::test]
    async fn orders_that_were_confirmed_without_captures_are_found_by_their_index() {
        let storage = TestDatabase::create(DatabaseKind::Sqlite);
        let database = storage.open::<Migrator>(Service::Order).await;
        let query = confirmed_without_captures().limit(500).build(DbBackend::Sqlite).to_string();
        let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {query}"));
        let plan = database.reader().query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        assert_eq!(plan, ["SCAN orders USING INDEX orders_to_capture"]);
    }
}
