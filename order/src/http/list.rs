use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use serde::{
    Deserialize,
    de::{IntoDeserializer as _, value::Error},
};
use service_http::{
    ApiQuery, Continuation, Direction, FieldErrors, Limit, Page, Problem,
    access::{Caller, Owner, OwnerError, Scope},
};
use shared_events::{Sku, Timestamp};

use super::{state::AppState, wire::OrderView};
use crate::{
    domain::{IdempotencyKey, IdempotencyKeyError, Status},
    store::{self, Cursor, Listing},
};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    after: Option<i64>,
    before: Option<i64>,
    #[serde(default)]
    order: Direction,
    owner: Option<OwnerName>,
    status: Option<StatusName>,
    sku: Option<Sku>,
    idempotency_key: Option<KeyText>,
    created_after: Option<Time>,
    created_before: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct OwnerName(Owner);

impl TryFrom<String> for OwnerName {
    type Error = OwnerError;
    fn try_from(name: String) -> Result<Self, OwnerError> {
        name.parse().map(Self)
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct StatusName(Status);

impl TryFrom<String> for StatusName {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, &'static str> {
        let status = Status::ALL.into_iter().find(|status| status.as_str() == name);
        status.map(Self).ok_or("must be PENDING, COMPENSATING, CONFIRMED, FAILED or CANCELLED")
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct KeyText(IdempotencyKey);

impl TryFrom<String> for KeyText {
    type Error = IdempotencyKeyError;
    fn try_from(key: String) -> Result<Self, IdempotencyKeyError> {
        IdempotencyKey::parse(&key).map(Self)
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Timestamp);

impl TryFrom<String> for Time {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let time: Result<_, Error> = Timestamp::deserialize(text.into_deserializer());
        time.map(Self).map_err(|_| "must be a time in RFC 3339, such as 2025-11-22T08:26:40Z (a + is sent as %2B)")
    }
}

impl List {
    fn parse(self) -> Result<Listing, Problem> {
        let cursor = match (self.after, self.before) {
            (Some(_), Some(_)) => {
                return Err(Problem::unprocessable(FieldErrors::of("before", "cannot be combined with after")));
            }
            (Some(id), None) => Some(Cursor::After(id)),
            (None, Some(id)) => Some(Cursor::Before(id)),
            (None, None) => None,
        };
        Ok(Listing {
            owner: self.owner.map(|OwnerName(owner)| owner.as_str().to_owned()),
            status: self.status.map(|StatusName(status)| status),
            created_after: self.created_after.map(|Time(time)| time),
            created_before: self.created_before.map(|Time(time)| time),
            sku: self.sku,
            idempotency_key: self.idempotency_key.map(|KeyText(key)| key),
            descending: self.order == Direction::Descending,
            cursor,
            limit: self.limit.rows(),
        })
    }
}

/// List orders
///
/// Ordered by id, one page at a time. `Link: …; rel="next"` leads to the next page; it answers with `rel="prev"` to
/// `before`. With `sku`, `created_after` or `created_before`, at most 10,000 orders are examined for a page: it may be
/// short or empty and still have a link, which leads on. Only a page without a link is the last. The same holds for
/// `status` in the list of one owner.
///
/// The key of an owner lists the orders of this owner, an admin's those of all.
#[utoipa::path(
    get, operation_id = "list_orders", path = "/api/v1/orders",
    tag = "orders", security(("bearer" = [Scope::OrdersRead])),
    params(
        ("limit" = Option<Limit>, Query),
        ("order" = Option<String>, Query, description = "`asc` (the default) or `desc`: the newest order first"),
        ("after" = Option<i64>, Query, description = "only orders behind this id in the list"),
        ("before" = Option<i64>, Query, description = "only orders directly in front of this id in the list"),
        ("owner" = Option<String>, Query, description = "only orders that were placed with a key of this owner"),
        ("status" = Option<String>, Query, description = "only orders with this status"),
        ("sku" = Option<String>, Query, description = "only orders with a line of this item"),
        ("idempotency_key" = Option<String>, Query, description = "only the orders that were placed with this key: one for each owner"),
        ("created_after" = Option<String>, Query, description = "only orders created at this time (RFC 3339) or later"),
        ("created_before" = Option<String>, Query, description = "only orders created before this time (RFC 3339)"),
    ),
    responses((status = 200, body = [OrderView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    ApiQuery(mut list): ApiQuery<List>,
) -> Result<Page<OrderView>, Problem> {
    let limit = list.limit;
    let asked = list.owner.take().map(|OwnerName(owner)| owner);
    let own = caller.owner().cloned();
    let of_another = asked.as_ref().zip(own.as_ref()).is_some_and(|(asked, own)| asked != own);
    list.owner = own.or(asked).map(OwnerName);
    let listing = list.parse()?;
    if of_another {
        return Ok(Page::new(&uri, limit, Vec::<(i64, OrderView)>::new()));
    }
    let reader = app.context.database.list_reader().await?;
    let page = store::page(&*reader, &listing).await?;
    let more = page.more.map(|cursor| match cursor {
        Cursor::After(id) => Continuation::Next(id),
        Cursor::Before(id) => Continuation::Previous(id),
    });
    Ok(Page::of_part(&uri, limit, "orders", page.rows, more))
}
