use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::{Deserialize, Serialize};
use service_http::{
    ApiPath, ApiQuery, Limit, Page, Problem,
    access::{Caller, Owner as KeyOwner, Scope},
};
use shared_events::{FailureReason, Line, OrderId, Sku, Timestamp};
use utoipa::ToSchema;

use super::state::AppState;
use crate::{
    domain::{Owner, Reservation, ReservationId, State as ReservationState},
    store,
};

/// A reservation as clients see it: the decision about the stock of an order, or stock that is held for a client.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationView {
    #[schema(example = 1)]
    reservation_id: i64,
    /// `HELD`, `SOLD`, `RELEASED` or `REJECTED`; `CANCELLED` if the order was cancelled before it came here.
    #[schema(example = "HELD")]
    status: &'static str,
    /// The order; absent if a client has reserved the stock over REST.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    order_id: Option<i64>,
    /// All lines, sorted by SKU.
    items: Vec<ReservedLine>,
    /// Why it was rejected: `INSUFFICIENT_STOCK` or `UNKNOWN_ITEM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<FailureReason>,
    /// The item because of which it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    rejected_sku: Option<Sku>,
    /// The owner of the API key with which a client has made it; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "shop-a")]
    owner: Option<String>,
    /// When it is released if its client does not release it before; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// One line of a reservation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReservedLine {
    #[schema(value_type = String, example = "SKU-ABC")]
    item_sku: Sku,
    #[schema(example = 2, minimum = 1)]
    quantity: i64,
}

impl From<&Line> for ReservedLine {
    fn from(line: &Line) -> Self {
        Self { item_sku: line.sku.clone(), quantity: line.quantity.units() }
    }
}

impl From<&Reservation> for ReservationView {
    fn from(reservation: &Reservation) -> Self {
        let (status, rejection) = match &reservation.state {
            ReservationState::Held => ("HELD", None),
            ReservationState::Sold => ("SOLD", None),
            ReservationState::Released => ("RELEASED", None),
            ReservationState::Rejected(rejection) => ("REJECTED", Some(rejection)),
            ReservationState::Cancelled => ("CANCELLED", None),
        };
        Self {
            reservation_id: reservation.id.0,
            status,
            order_id: match &reservation.owner {
                Owner::Saga { order, .. } => Some(order.order_id.0),
                Owner::Client { .. } => None,
            },
            items: reservation.lines().as_slice().iter().map(ReservedLine::from).collect(),
            reason: rejection.map(|rejection| rejection.reason),
            rejected_sku: rejection.map(|rejection| rejection.item_sku.clone()),
            owner: match &reservation.owner {
                Owner::Client { key_owner, .. } if !key_owner.is_empty() => Some(key_owner.clone()),
                _ => None,
            },
            expires_at: reservation.expires_at(),
            created_at: reservation.made_at,
            updated_at: reservation.changed_at,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    after: i64,
    order_id: Option<i64>,
}

/// List reservations
///
/// Ordered by id, one page at a time. `Link: …; rel="next"` leads to the next page. The key of an owner lists what was
/// reserved over REST with a key of this owner, an admin's everything.
#[utoipa::path(
    get, operation_id = "list_reservations", path = "/api/v1/reservations",
    tag = "reservations", security(("bearer" = [Scope::StockRead])),
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<i64>, Query, description = "only reservations with a greater id"),
        ("order_id" = Option<i64>, Query, description = "only the reservation of this order"),
    ),
    responses((status = 200, body = [ReservationView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after, order_id }): ApiQuery<List>,
) -> Result<Page<ReservationView>, Problem> {
    let reader = app.context.database.list_reader().await?;
    let (order, owner) = (order_id.map(OrderId), caller.owner().map(KeyOwner::as_str));
    let reservations = store::all_reservations(&*reader, order, owner, ReservationId(after), limit.rows()).await?;
    Ok(Page::of_rows(&uri, limit, "reservations", reservations))
}

/// Show a reservation
#[utoipa::path(
    get, operation_id = "show_reservation", path = "/api/v1/reservations/{reservation_id}",
    tag = "reservations", security(("bearer" = [Scope::StockRead])),
    params(("reservation_id" = i64, Path)),
    responses((status = 200, body = ReservationView), (status = 404, description = "reservation not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ApiPath(reservation_id): ApiPath<i64>,
) -> Result<Json<ReservationView>, Problem> {
    let found = {
        let (reader, owner) = (app.context.database.reader(), caller.owner().map(KeyOwner::as_str));
        store::reservation(&reader, ReservationId(reservation_id), owner).await?
    };
    let found = found.ok_or_else(|| Problem::not_found("reservation not found"))?;
    Ok(Json(ReservationView::from(&found)))
}
