use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Limit, Page, Problem};
use shared_events::OrderId;

use super::{
    state::AppState,
    wire::{OrderView, TimelineEntry},
};
use crate::{domain::Status, store};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    after: i64,
    status: Option<StatusName>,
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

/// List orders
///
/// Ordered by id, one page at a time. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders",
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<i64>, Query, description = "only orders with a greater id"),
        ("status" = Option<String>, Query, description = "only orders with this status"),
    ),
    responses((status = 200, body = [OrderView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after, status }): ApiQuery<List>,
) -> Result<Page<OrderView>, Problem> {
    let status = status.map(|StatusName(status)| status);
    let reader = app.context.database.list_reader().await?;
    let orders = store::page(&*reader, OrderId(after), status, limit.rows()).await?;
    Ok(Page::of_rows(&uri, limit, "orders", orders))
}

/// Show an order
#[utoipa::path(
    get, path = "/api/v1/orders/{order_id}", tag = "orders", params(("order_id" = i64, Path)),
    responses((status = 200, body = OrderView), (status = 404, description = "order not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    ApiPath(order_id): ApiPath<i64>,
) -> Result<Json<OrderView>, Problem> {
    let order = store::by_id(&app.context.database.reader(), OrderId(order_id)).await?;
    order.map(|order| Json(OrderView::from(&order))).ok_or_else(|| Problem::not_found("order not found"))
}

/// Show an order's timeline
///
/// Each event about the order that this service published or received, oldest first.
#[utoipa::path(
    get, path = "/api/v1/orders/{order_id}/events", tag = "orders", params(("order_id" = i64, Path)),
    responses((status = 200, body = [TimelineEntry]), (status = 404, description = "order not found")),
)]
pub(super) async fn events(
    State(app): State<Arc<AppState>>,
    ApiPath(order_id): ApiPath<i64>,
) -> Result<Json<Vec<TimelineEntry>>, Problem> {
    let timeline = store::timeline(&app.context.database.reader(), OrderId(order_id)).await?;
    if timeline.is_empty() {
        // Every order has at least its `OrderCreated`.
        return Err(Problem::not_found("order not found"));
    }
    Ok(Json(timeline.into_iter().map(TimelineEntry::from).collect()))
}
