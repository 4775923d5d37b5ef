mod wire;

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use serde::Deserialize;
use service_http::{
    ApiJson, ApiPath, ApiQuery, FieldErrors, Limit, Page, Problem, RequestCause, accepted,
    access::{Caller, Scope},
    idempotency_key,
};
use shared_events::{OrderId, RefundId};
use uuid::Uuid;

pub(super) use self::wire::RefundView;
use self::wire::RequestRefund;
use super::state::AppState;
use crate::{
    commands::{Command, RefundReply},
    domain::RefundRefusal,
    store,
};

/// Refund an order
///
/// Gives the money of a confirmed order back, all of it or a part, once or several times, but never more than was paid.
/// With `restock`, the goods are available again afterwards. The response is sent as soon as the refund is durable; its
/// end is at `Location`.
#[utoipa::path(
    post, operation_id = "request_refund", path = "/api/v1/orders/{order_id}/refunds",
    tag = "refunds", security(("bearer" = [Scope::PaymentsWrite])),
    request_body = RequestRefund,
    params(
        ("order_id" = i64, Path),
        ("Idempotency-Key" = Option<String>, Header,
            description = "the same as `idempotency_key` in the body, in quotes or without; each order has its own"),
    ),
    responses(
        (status = 202, body = RefundView, description = "the refund is durable, or was requested before with this key"),
        (status = 404, description = "order not found"),
        (status = 409, description = "the order is not confirmed, nothing is left of it, or it has had 100 refunds"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn request(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    ApiPath(order_id): ApiPath<i64>,
    headers: HeaderMap,
    ApiJson(request): ApiJson<RequestRefund>,
) -> Result<Response, Problem> {
    let new = request.parse(OrderId(order_id), idempotency_key(&headers)?)?;
    let owner = caller.owner().cloned();
    match app.context.mailbox.ask(|reply_to| Command::Refund(new, owner, reply_to), cause).await? {
        RefundReply::Requested(refund) => {
            let location = format!("/api/v1/orders/{order_id}/refunds/{}", refund.details.refund_id);
            Ok(accepted(&location, &RefundView::from(&*refund)))
        }
        RefundReply::KeyReused => {
            let why = "was used for a refund of the order with other content";
            Err(Problem::unprocessable(FieldErrors::of("idempotency_key", why)))
        }
        RefundReply::Refused(refusal) => Err(refused(&refusal)),
        RefundReply::NotFound => Err(Problem::not_found("order not found")),
    }
}

fn refused(refusal: &RefundRefusal) -> Problem {
    let field = match refusal {
        RefundRefusal::NotConfirmed(_) | RefundRefusal::NothingLeft | RefundRefusal::TooManyRefunds => {
            return Problem::conflict(refusal.to_string());
        }
        RefundRefusal::Amount(_) | RefundRefusal::TooMuch(_) | RefundRefusal::ItemsWithoutAmount => "amount",
        RefundRefusal::RestockWithoutItems | RefundRefusal::TooMany { .. } => "items",
    };
    Problem::unprocessable(FieldErrors::of(field, refusal.to_string()))
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    after: Option<Uuid>,
}

/// List the refunds of an order
///
/// Ordered by time, one page at a time. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, operation_id = "list_refunds", path = "/api/v1/orders/{order_id}/refunds",
    tag = "refunds", security(("bearer" = [Scope::OrdersRead])),
    params(
        ("order_id" = i64, Path),
        ("limit" = Option<Limit>, Query),
        ("after" = Option<Uuid>, Query, description = "only refunds behind this one"),
    ),
    responses((status = 200, body = [RefundView]), (status = 404, description = "order not found")),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ApiPath(order_id): ApiPath<i64>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after }): ApiQuery<List>,
) -> Result<Page<RefundView>, Problem> {
    let order = app.order(OrderId(order_id), caller.owner()).await?;
    let reader = app.context.database.list_reader().await?;
    let refunds = store::refunds::of_order(&*reader, &order, after.map(RefundId), limit.rows()).await?;
    let views = refunds.iter().map(|refund| (refund.details.refund_id, refund.into())).collect();
    Ok(Page::new(&uri, limit, views))
}

/// Show a refund
#[utoipa::path(
    get, operation_id = "show_refund", path = "/api/v1/orders/{order_id}/refunds/{refund_id}",
    tag = "refunds",
    security(("bearer" = [Scope::OrdersRead])),
    params(("order_id" = i64, Path), ("refund_id" = Uuid, Path)),
    responses((status = 200, body = RefundView), (status = 404, description = "order or refund not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ApiPath((order_id, refund_id)): ApiPath<(i64, Uuid)>,
) -> Result<Json<RefundView>, Problem> {
    let order = app.order(OrderId(order_id), caller.owner()).await?;
    let refund = store::refunds::one(&app.context.database.reader(), &order, RefundId(refund_id)).await?;
    refund.map(|refund| Json((&refund).into())).ok_or_else(|| Problem::not_found("refund not found"))
}
