use std::sync::Arc;

use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Direction, Known, Limit, Page, Problem, access::Scope};
use shared_events::OrderId;

use super::{state::AppState, wire::PaymentView};
use crate::{
    domain::PaymentId,
    store::{self, Listing},
};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    order: Direction,
    after: Option<i64>,
    order_id: Option<i64>,
}

/// List payments
///
/// All payments, ordered by id, one page at a time. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, operation_id = "list_payments", path = "/api/v1/payments",
    tag = "payments", security(("bearer" = [Scope::PaymentsRead])),
    params(
        ("limit" = Option<Limit>, Query),
        ("order" = Option<String>, Query, description = "`asc` (the default) or `desc`: the newest payment first"),
        ("after" = Option<i64>, Query, description = "only payments behind this id in the list"),
        ("order_id" = Option<i64>, Query, description = "only the payments of this order"),
    ),
    responses((status = 200, body = [PaymentView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, order, after, order_id }): ApiQuery<List>,
) -> Result<Page<PaymentView>, Problem> {
    let reader = app.context.database.list_reader().await?;
    let listing = Listing {
        order: order_id.map(OrderId),
        descending: order == Direction::Descending,
        after: after.map(PaymentId),
        limit: limit.rows(),
    };
    let payments = store::page(&*reader, listing).await?;
    Ok(Page::of_rows(&uri, limit, "payments", payments))
}

/// Show a payment
#[utoipa::path(
    get, operation_id = "show_payment", path = "/api/v1/payments/{payment_id}",
    tag = "payments", security(("bearer" = [Scope::PaymentsRead])),
    params(
        ("payment_id" = i64, Path),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, body = PaymentView, headers(("ETag" = String, description = "for `If-None-Match`"))),
        (status = 304, description = "the payment is as in the earlier response"),
        (status = 404, description = "payment not found"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    known: Known,
    ApiPath(payment_id): ApiPath<i64>,
) -> Result<Response, Problem> {
    let payment = store::by_id(&app.context.database.reader(), PaymentId(payment_id)).await?;
    known.show(payment.as_ref().map(PaymentView::from), "payment not found")
}
