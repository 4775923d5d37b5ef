use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use service_http::{
    ApiPath, Known, Problem,
    access::{Caller, Scope},
};
use shared_events::OrderId;

use super::{state::AppState, timeline::TimelineEntry, wire::OrderView};
use crate::store;

/// Show an order
#[utoipa::path(
    get, operation_id = "show_order", path = "/api/v1/orders/{order_id}",
    tag = "orders", security(("bearer" = [Scope::OrdersRead])),
    params(
        ("order_id" = i64, Path),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, body = OrderView, headers(("ETag" = String, description = "for `If-None-Match`"))),
        (status = 304, description = "the order is as in the earlier response"),
        (status = 404, description = "order not found"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    known: Known,
    ApiPath(order_id): ApiPath<i64>,
) -> Result<Response, Problem> {
    let order = app.order(OrderId(order_id), caller.owner()).await?;
    let traceparent = store::traceparent(&app.context.database.reader(), OrderId(order_id)).await?;
    Ok(known.respond(&OrderView::from(&order).traced(traceparent.as_deref())))
}

/// Show an order's timeline
///
/// Each event about the order that this service published or received, oldest first, with its content and its cause.
#[utoipa::path(
    get, path = "/api/v1/orders/{order_id}/events", tag = "orders", security(("bearer" = [Scope::OrdersRead])),
    params(("order_id" = i64, Path)),
    responses((status = 200, body = [TimelineEntry]), (status = 404, description = "order not found")),
)]
pub(super) async fn events(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ApiPath(order_id): ApiPath<i64>,
) -> Result<Json<Vec<TimelineEntry>>, Problem> {
    let reader = app.context.database.reader();
    if let Some(owner) = caller.owner()
        && !store::has_owner(&reader, OrderId(order_id), owner.as_str()).await?
    {
        return Err(Problem::not_found("order not found"));
    }
    let timeline = store::timeline(&reader, OrderId(order_id)).await?;
    if timeline.is_empty() {
        // Every order has at least its `OrderCreated`.
        return Err(Problem::not_found("order not found"));
    }
    let order = store::details(&reader, OrderId(order_id)).await?;
    Ok(Json(TimelineEntry::of_order(order.as_ref(), timeline)))
}
