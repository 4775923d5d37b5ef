//! The list of orders: filters, both directions, and a bounded number of rows examined for each page.

use std::{
    cmp::{max, min},
    time::Duration,
};

use saga_database::{Rows, keyset, read_rows};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, Order as Direction, QueryFilter,
    QueryOrder, QuerySelect, Select,
    sea_query::{Expr, ExprTrait, Func},
};
use shared_events::{OwnedKey, Sku, Timestamp};

use super::{mapping::from_row, tables::orders};
use crate::domain::{IdempotencyKey, Order, Status};

/// Maximum number of rows that are examined for one page, if a filter has no index.
const MAX_EXAMINED: u64 = 10_000;

/// Ids follow the times of creation, but not to the microsecond: an order gets its time when it is received, and its
/// id when it is saved. An order that took longer than this may be missing in a list by time.
const MAX_DISORDER: Duration = Duration::from_secs(60);

/// A part of the list of orders.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only orders of this owner.
    pub owner: Option<String>,
    /// Only orders with this status.
    pub status: Option<Status>,
    /// Only orders created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Only orders created before this time.
    pub created_before: Option<Timestamp>,
    /// Only orders with a line of this item.
    pub sku: Option<Sku>,
    /// Only the order that was placed with this key; without `owner`, those of all owners.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether the list begins with the greatest id.
    pub descending: bool,
    /// Where the page begins or ends; `None` for the beginning of the list.
    pub cursor: Option<Cursor>,
    /// Maximum number of rows in the page.
    pub limit: u64,
}

/// A place in the list, by the id of an order. It need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// The page begins behind it.
    After(i64),
    /// The page ends in front of it.
    Before(i64),
}

/// A page of the list.
#[derive(Debug)]
pub struct ListPage {
    /// The orders, in the order of the list. Each row is converted separately, because one of them may be unreadable.
    pub rows: Rows<i64, Order>,
    /// Where the list continues in the direction of the request; `None` at its end. There may be more even if the page
    /// is not full, because the number of examined rows is bounded.
    pub more: Option<Cursor>,
}

/// Returns a page of the list of orders.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn page(connection: &impl ConnectionTrait, listing: &Listing) -> Result<ListPage, DbErr> {
    let backwards = matches!(listing.cursor, Some(Cursor::Before(_)));
    // If the page ends in front of the cursor, its rows are read from there, against the order of the list.
    let read_descending = listing.descending != backwards;
    let mut ids = listing.ids_behind_cursor(read_descending);
    let mut end = None;
    if listing.examines_rows() {
        ids = created_in(connection, ids, listing).await?;
        end = last_examined(connection, listing, &ids, read_descending).await?;
        ids = end.map_or(ids, |end| ids.up_to(end, read_descending));
    }
    let backend = connection.get_database_backend();
    let mut query = in_order(orders::Entity::find(), backend, listing, &ids, read_descending);
    if let Some(key) = &listing.idempotency_key {
        let with_key = with_key(connection, key, listing.owner.as_deref()).await?;
        query = query.filter(orders::Column::OrderId.is_in(with_key));
    }
    let query = query.filter(listing.examined(backend)).limit(listing.limit);
    let mut rows: Rows<i64, Order> = read_rows(connection, query, orders::Column::OrderId, from_row).await?;
    let full = rows.len() as u64 >= listing.limit;
    let more = if full { rows.last().map(|(id, _)| *id) } else { end };
    if backwards {
        rows.reverse();
    }
    Ok(ListPage { rows, more: more.map(if backwards { Cursor::Before } else { Cursor::After }) })
}

/// The ids of the rows to read, both bounds excluded.
#[derive(Debug, Clone, Copy)]
struct Ids {
    above: i64,
    below: i64,
}

impl Ids {
    const ALL: Self = Self { above: i64::MIN, below: i64::MAX };

    /// Ends with `last`, in the direction of reading.
    fn up_to(self, last: i64, descending: bool) -> Self {
        match descending {
            true => Self { above: last.saturating_sub(1), ..self },
            false => Self { below: last.saturating_add(1), ..self },
        }
    }
}

impl Listing {
    fn ids_behind_cursor(&self, read_descending: bool) -> Ids {
        match self.cursor {
            None => Ids::ALL,
            Some(Cursor::After(id) | Cursor::Before(id)) if read_descending => Ids { below: id, ..Ids::ALL },
            Some(Cursor::After(id) | Cursor::Before(id)) => Ids { above: id, ..Ids::ALL },
        }
    }

    /// Returns the filters that are checked row by row.
    fn examined(&self, backend: DbBackend) -> Condition {
        let placed_at = orders::Column::PlacedAt;
        let status = self.status.filter(|_| self.owner.is_some());
        Condition::all()
            // Not the bare column: the index by status has the rows of all owners.
            .add_option(status.map(|status| Expr::cust("status || ''").eq(status.as_str())))
            .add_option(self.created_after.map(|time| placed_at.gte(time.unix_micros())))
            .add_option(self.created_before.map(|time| placed_at.lt(time.unix_micros())))
            .add_option(self.sku.as_ref().map(|sku| {
                let position = if backend == DbBackend::Sqlite { "instr" } else { "strpos" };
                // The lines are JSON without spaces. A quote inside of an SKU is escaped there, so this finds nothing
                // but the field.
                let field = format!("\"item_sku\":{}", serde_json::Value::from(sku.as_str()));
                Func::cust(position).arg(orders::Column::Lines.into_expr()).arg(field).gt(0)
            }))
    }

    /// Returns whether rows may have to be examined that are not in the list. A key has an index, and each owner one
    /// order with it. A status has an index only over the orders of all owners.
    fn examines_rows(&self) -> bool {
        let examined = self.created_after.is_some() || self.created_before.is_some() || self.sku.is_some();
        (examined || (self.owner.is_some() && self.status.is_some())) && self.idempotency_key.is_none()
    }
}

/// Restricts and sorts a query such that an index has its order and its bounds: the one by owner, by status, or by id.
fn in_order(
    query: Select<orders::Entity>,
    backend: DbBackend,
    listing: &Listing,
    ids: &Ids,
    descending: bool,
) -> Select<orders::Entity> {
    let (id, direction) = (orders::Column::OrderId, if descending { Direction::Desc } else { Direction::Asc });
    let (column, value, query) = match (&listing.owner, listing.status) {
        // The index by owner has no other rows; the databases use it only for queries that say so.
        (Some(owner), _) => (orders::Column::Owner, owner.as_str(), query.filter(Expr::cust("owner <> ''"))),
        (None, Some(status)) => (orders::Column::Status, status.as_str(), query),
        (None, None) => return query.filter(id.gt(ids.above)).filter(id.lt(ids.below)).order_by(id, direction),
    };
    keyset(query, backend, (column, value), (id, ids.above, ids.below), direction)
}

/// Returns the ids of the orders with this key, at most [`MAX_EXAMINED`]. They are looked up on their own, so that each
/// query has the index that it needs and no other.
async fn with_key(
    connection: &impl ConnectionTrait,
    key: &IdempotencyKey,
    owner: Option<&str>,
) -> Result<Vec<i64>, DbErr> {
    let scoped_key = orders::Column::ScopedKey;
    if let Some(owner) = owner {
        return select_ids().filter(scoped_key.eq(OwnedKey::text_of(owner, key))).into_tuple().all(connection).await;
    }
    let unscoped = select_ids().filter(orders::Column::IdempotencyKey.eq(key.as_str()));
    let mut ids: Vec<i64> = unscoped.into_tuple().all(connection).await?;
    let (above, below) = OwnedKey::bounds_of_all(key);
    let scoped = select_ids().filter(scoped_key.gt(above)).filter(scoped_key.lt(below));
    ids.append(&mut scoped.order_by_asc(scoped_key).limit(MAX_EXAMINED).into_tuple().all(connection).await?);
    Ok(ids)
}

/// Returns the id of the last row that may be examined; `None` if there are fewer.
async fn last_examined(
    connection: &impl ConnectionTrait,
    listing: &Listing,
    ids: &Ids,
    descending: bool,
) -> Result<Option<i64>, DbErr> {
    let query = in_order(select_ids(), connection.get_database_backend(), listing, ids, descending)
        .offset(MAX_EXAMINED - 1)
        .limit(1);
    query.into_tuple().one(connection).await
}

/// Restricts `ids` to those of the orders of this time, wider by [`MAX_DISORDER`] on both sides.
async fn created_in(connection: &impl ConnectionTrait, ids: Ids, listing: &Listing) -> Result<Ids, DbErr> {
    let Ids { mut above, mut below } = ids;
    if let Some(time) = listing.created_after {
        above = max(above, first_created_at(connection, time.before(MAX_DISORDER)).await? - 1);
    }
    if let Some(time) = listing.created_before {
        below = min(below, first_created_at(connection, time.after(MAX_DISORDER)).await?);
    }
    Ok(Ids { above, below })
}

/// Returns the id of the first order that was created at `time` or later, or one more than the greatest id, by a binary
/// search: each step reads one row by the primary key. An id is at least 0.
async fn first_created_at(connection: &impl ConnectionTrait, time: Timestamp) -> Result<i64, DbErr> {
    let id = orders::Column::OrderId;
    let last: Option<i64> = select_ids().order_by_desc(id).limit(1).into_tuple().one(connection).await?;
    let (mut low, mut high) = (0, last.map_or(0, |last| last.saturating_add(1)));
    while low < high {
        let middle = low + (high - low) / 2;
        let query = select_ids().column(orders::Column::PlacedAt).filter(id.gte(middle)).order_by_asc(id).limit(1);
        match query.into_tuple::<(i64, i64)>().one(connection).await? {
            Some((earlier, placed_at)) if placed_at < time.unix_micros() => low = earlier.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

fn select_ids() -> Select<orders::Entity> {
    orders::Entity::find().select_only().column(orders::Column::OrderId)
}
