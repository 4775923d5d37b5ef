use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use service_http::{ApiQuery, Limit, Problem, access::Scope};
use utoipa::ToSchema;

use super::{list::Time, refunds::RefundView, state::AppState, wire::OrderView};
use crate::store::unsettled;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    limit: Limit,
    open_since: Option<Time>,
}

/// Payments that were not captured, and refunds that have not reached their end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Unsettled {
    /// Confirmed orders: first those whose `capture` is `FAILED`, newest first; then those that have none yet.
    captures: Vec<OrderView>,
    /// First those that are `FAILED`, newest first; then those of which the money or the goods are not back yet.
    refunds: Vec<RefundView>,
}

/// List what is not settled
///
/// Payments of confirmed orders that were not captured, and refunds that have failed or are still open, of all owners.
/// What has failed stays in the list. Each of the four kinds has at most `limit` items.
#[utoipa::path(
    get, operation_id = "list_unsettled", path = "/admin/unsettled",
    tag = "admin", security(("bearer" = [Scope::Admin])),
    params(
        ("limit" = Option<Limit>, Query),
        ("open_since" = Option<String>, Query,
            description = "of those that are open, only those that have been since before this time (RFC 3339)"),
    ),
    responses((status = 200, body = Unsettled), (status = 404, description = "the admin endpoints are off")),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    ApiQuery(Asked { limit, open_since }): ApiQuery<Asked>,
) -> Result<Json<Unsettled>, Problem> {
    let database = &app.context.database;
    let before = open_since.map_or_else(|| database.clock().now(), |Time(time)| time);
    let reader = database.list_reader().await?;
    let captures = unsettled::captures(&*reader, before, limit.rows()).await?;
    let refunds = unsettled::refunds(&*reader, before, limit.rows()).await?;
    Ok(Json(Unsettled {
        captures: captures.iter().map(OrderView::from).collect(),
        refunds: refunds.iter().map(RefundView::from).collect(),
    }))
}
