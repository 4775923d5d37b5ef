use std::collections::BTreeSet;

use saga_database::{Rows, find_each_by, find_locked, read_rows, readable};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use shared_events::{OrderId, OwnedKey, SagaId};

use super::{mapping::from_row, tables::payments};
use crate::{
    domain::{Payment, PaymentId, State},
    gateway::Reference,
};

/// Returns the payment with this id; `None` if the row is a tombstone.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn by_id(connection: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    let decided = payments::Column::State.ne(State::Cancelled.as_str());
    payments::Entity::find_by_id(id.0).filter(decided).one(connection).await?.map(from_row).transpose()
}

/// Which payments a list has.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// Only those of this order.
    pub order: Option<OrderId>,
    /// Greatest id first.
    pub descending: bool,
    /// Only those behind this one in the list.
    pub after: Option<PaymentId>,
    /// How many at most.
    pub limit: u64,
}

/// Returns a part of the list of payments, ordered by id, without tombstones. Each row is converted separately, because
/// one of them may be unreadable.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn page(connection: &impl ConnectionTrait, listing: Listing) -> Result<Rows<i64, Payment>, DbErr> {
    let Listing { order, descending, after, limit } = listing;
    let id = payments::Column::PaymentId;
    let behind = |after: PaymentId| if descending { id.lt(after.0) } else { id.gt(after.0) };
    let listed = Condition::all()
        .add(payments::Column::State.ne(State::Cancelled.as_str()))
        .add_option(order.map(|order| payments::Column::OrderId.eq(order.0)))
        .add_option(after.map(behind));
    let direction = if descending { Order::Desc } else { Order::Asc };
    let query = payments::Entity::find().filter(listed).order_by(id, direction).limit(limit);
    read_rows(connection, query, id, from_row).await
}

/// Returns at most `limit` payments with a greater id than `after`, ordered by id, with tombstones, each row converted
/// separately. Used by the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn all(connection: &impl ConnectionTrait, after: PaymentId, limit: u64) -> Result<Rows<i64, Payment>, DbErr> {
    let query = payments::Entity::find().filter(payments::Column::PaymentId.gt(after.0));
    let query = query.order_by_asc(payments::Column::PaymentId).limit(limit);
    read_rows(connection, query, payments::Column::PaymentId, from_row).await
}

/// Returns the payments of these sagas, with tombstones, without those that cannot be read. Used by the audit.
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

/// Returns the payments of these sagas, with tombstones, and locks them.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn by_sagas(transaction: &DatabaseTransaction, sagas: Vec<SagaId>) -> Result<Vec<Payment>, DbErr> {
    let keys = sagas.into_iter().map(|saga| saga.0.into()).collect();
    let rows = find_locked::<payments::Entity, _>(transaction, payments::Column::SagaId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// Returns the payments with these ids, and locks them.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn by_ids(transaction: &DatabaseTransaction, ids: Vec<PaymentId>) -> Result<Vec<Payment>, DbErr> {
    let keys = ids.into_iter().map(|id| id.0.into()).collect();
    let rows = find_locked::<payments::Entity, _>(transaction, payments::Column::PaymentId, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// Returns the payments with these references that have refunds, and locks them.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn refunded_by_reference(
    transaction: &DatabaseTransaction,
    references: BTreeSet<&Reference>,
) -> Result<Vec<Payment>, DbErr> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    let query = payments::Entity::find()
        .filter(payments::Column::Reference.is_in(references.into_iter().map(|reference| reference.0.as_str())))
        // As in the index.
        .filter(Expr::cust("refunds IS NOT NULL"))
        .order_by_asc(payments::Column::PaymentId)
        .lock_exclusive();
    query.all(transaction).await?.into_iter().map(from_row).collect()
}

/// Returns the payments that clients requested with these keys, and locks them.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn by_idempotency_keys(
    transaction: &DatabaseTransaction,
    keys: BTreeSet<&OwnedKey>,
) -> Result<Vec<Payment>, DbErr> {
    let (unscoped, scoped): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.owner.is_empty());
    let unscoped = unscoped.into_iter().map(|owned| owned.key.as_str().into()).collect();
    let scoped = scoped.into_iter().map(|owned| OwnedKey::text_of(&owned.owner, &owned.key).into()).collect();
    let mut rows = find_locked::<payments::Entity, _>(transaction, payments::Column::IdempotencyKey, unscoped).await?;
    // One more query only if a batch has requests with and without owners.
    rows.append(&mut find_locked::<payments::Entity, _>(transaction, payments::Column::ScopedKey, scoped).await?);
    rows.into_iter().map(from_row).collect()
}
