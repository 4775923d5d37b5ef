use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Limit, Page, Problem};
use shared_events::OrderId;

use super::{state::AppState, wire::PaymentView};
use crate::{domain::PaymentId, store};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    after: i64,
    order_id: Option<i64>,
}

/// List payments
///
/// Authorized and declined payments, ordered by id, one page at a time. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, path = "/api/v1/payments", tag = "payments",
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<i64>, Query, description = "only payments with a greater id"),
        ("order_id" = Option<i64>, Query, description = "only the payments of this order"),
    ),
    responses((status = 200, body = [PaymentView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after, order_id }): ApiQuery<List>,
) -> Result<Page<PaymentView>, Problem> {
    let reader = app.context.database.list_reader().await?;
    let payments = store::page(&*reader, order_id.map(OrderId), PaymentId(after), limit.rows()).await?;
    Ok(Page::of_rows(&uri, limit, "payments", payments))
}

/// Show a payment
#[utoipa::path(
    get, path = "/api/v1/payments/{payment_id}", tag = "payments", params(("payment_id" = i64, Path)),
    responses((status = 200, body = PaymentView), (status = 404, description = "payment not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    ApiPath(payment_id): ApiPath<i64>,
) -> Result<Json<PaymentView>, Problem> {
    let payment = store::by_id(&app.context.database.reader(), PaymentId(payment_id)).await?;
    payment.map(|payment| Json(PaymentView::from(&payment))).ok_or_else(|| Problem::not_found("payment not found"))
}
