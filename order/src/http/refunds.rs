use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_http::{
    ApiJson, ApiPath, ApiQuery, FieldErrors, Limit, Page, Problem, RequestCause,
    access::{Caller, Owner, Scope},
    idempotency_key,
};
use shared_events::{IdempotencyKey, Lines, OrderId, RefundFailure, RefundId, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    state::AppState,
    wire::{Item, parse_items},
};
use crate::{
    commands::{Command, RefundReply},
    domain::{NewRefund, Order, Refund, RefundRefusal, RefundState},
    store,
};

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// The request for a refund. Without `amount` and `items` it is for all that is left of the order.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RequestRefund {
    /// In major units of the order's currency. Parsed exactly, never as a float.
    #[schema(value_type = Option<f64>, example = 50)]
    amount: Option<Box<RawValue>>,
    /// The goods that the money goes back for. They need an `amount`, because an order has no price for each item.
    #[schema(max_items = 100)]
    items: Option<Vec<Item>>,
    /// Whether the goods come back, and so are available again once the money has gone back.
    #[serde(default)]
    restock: bool,
    /// Why, in your own words.
    #[schema(max_length = 500, example = "one was broken")]
    reason: Option<String>,
    /// A key that the client chooses: a repeated request for the order with the same key and content returns the same
    /// refund.
    #[schema(example = "refund-001", max_length = 255)]
    idempotency_key: Option<String>,
}

impl RequestRefund {
    fn parse(self, order_id: OrderId, header: Option<&str>) -> Result<NewRefund, Problem> {
        let mut errors = FieldErrors::new();
        let items = self.items.map(|items| parse_items(&mut errors, items));
        let key = IdempotencyKey::of_request(self.idempotency_key.as_deref(), header);
        let idempotency_key = errors.check("idempotency_key", key).flatten();
        if let Some(reason) = &self.reason {
            if reason.chars().count() > MAX_REASON {
                errors.push("reason", "must have at most 500 characters");
            } else if reason.contains('\0') {
                errors.push("reason", "must not contain NUL");
            }
        }
        errors.into_result()?;
        let amount = self.amount.map(|amount| amount.get().to_owned());
        let (refund_id, restock, reason) = (RefundId(Uuid::now_v7()), self.restock, self.reason);
        Ok(NewRefund { refund_id, order_id, amount, items: items.flatten(), restock, reason, idempotency_key })
    }
}

/// A refund as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefundView {
    refund_id: Uuid,
    #[schema(example = 1)]
    order_id: i64,
    /// `REQUESTED`, or a final status: `SUCCEEDED` or `FAILED`.
    #[schema(example = "SUCCEEDED")]
    status: &'static str,
    /// In major units, exact.
    #[schema(value_type = f64, example = 50)]
    amount: Box<RawValue>,
    #[schema(example = "USD")]
    currency: &'static str,
    /// The goods that the money goes back for, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Item>>)]
    items: Option<Lines>,
    /// Whether the goods come back.
    restock: bool,
    /// Whether the goods are available again.
    restocked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "one was broken")]
    reason: Option<String>,
    /// Why it failed: `NOT_CAPTURED`, `EXCEEDS_CAPTURED` or `DECLINED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    failure_reason: Option<RefundFailure>,
    /// The failure reason as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        let amount = refund.details.amount;
        let (status, failure_reason) = match refund.state {
            RefundState::Requested => ("REQUESTED", None),
            RefundState::Succeeded => ("SUCCEEDED", None),
            RefundState::Failed(reason) => ("FAILED", Some(reason)),
        };
        Self {
            refund_id: refund.details.refund_id.0,
            order_id: refund.order.order_id.0,
            status,
            amount: RawValue::from_string(amount.amount()).expect("an amount is the text of a JSON number"),
            currency: amount.currency().code(),
            items: refund.items.clone(),
            restock: refund.details.restock.is_some(),
            restocked: refund.restocked,
            reason: refund.reason.clone(),
            failure_reason,
            detail: failure_reason.map(RefundFailure::detail),
            created_at: refund.requested_at,
            updated_at: refund.changed_at,
        }
    }
}

/// Refund an order
///
/// Gives the money of a confirmed order back, all of it or a part, once or several times, but never more than was paid.
/// With `restock`, the goods are available again afterwards. The response is sent as soon as the refund is durable; its
/// end is at `Location`.
#[utoipa::path(
    post, path = "/api/v1/orders/{order_id}/refunds", tag = "refunds", security(("bearer" = [Scope::PaymentsWrite])),
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
        RefundReply::Requested(refund) => Ok(requested(&refund)),
        RefundReply::KeyReused => {
            let why = "was used for a refund of the order with other content";
            Err(Problem::unprocessable(FieldErrors::of("idempotency_key", why)))
        }
        RefundReply::Refused(refusal) => Err(refused(&refusal)),
        RefundReply::NotFound => Err(Problem::not_found("order not found")),
    }
}

fn requested(refund: &Refund) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(RefundView::from(refund))).into_response();
    let location = format!("/api/v1/orders/{}/refunds/{}", refund.order.order_id, refund.details.refund_id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
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
    get, path = "/api/v1/orders/{order_id}/refunds", tag = "refunds", security(("bearer" = [Scope::OrdersRead])),
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
    let order = app.visible_order(&caller, order_id).await?;
    let reader = app.context.database.list_reader().await?;
    let refunds = store::refunds::of_order(&*reader, &order, after.map(RefundId), limit.rows()).await?;
    let views = refunds.iter().map(|refund| (refund.details.refund_id, refund.into())).collect();
    Ok(Page::new(&uri, limit, views))
}

/// Show a refund
#[utoipa::path(
    get, path = "/api/v1/orders/{order_id}/refunds/{refund_id}", tag = "refunds",
    security(("bearer" = [Scope::OrdersRead])),
    params(("order_id" = i64, Path), ("refund_id" = Uuid, Path)),
    responses((status = 200, body = RefundView), (status = 404, description = "order or refund not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    ApiPath((order_id, refund_id)): ApiPath<(i64, Uuid)>,
) -> Result<Json<RefundView>, Problem> {
    let order = app.visible_order(&caller, order_id).await?;
    let refund = store::refunds::one(&app.context.database.reader(), &order, RefundId(refund_id)).await?;
    refund.map(|refund| Json((&refund).into())).ok_or_else(|| Problem::not_found("refund not found"))
}

impl AppState {
    async fn visible_order(&self, caller: &Caller, id: i64) -> Result<Order, Problem> {
        let owner = caller.owner().map(Owner::as_str);
        let order = store::by_id(&self.context.database.reader(), OrderId(id), owner).await?;
        order.ok_or_else(|| Problem::not_found("order not found"))
    }
}
