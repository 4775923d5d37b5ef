use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use service_http::{
    ApiJson, FieldErrors, Preconditions, Problem, RequestCause,
    access::{Caller, Scope},
    idempotency_key, key_reused, tagged,
};
use shared_events::FailureReason;

use super::{
    state::AppState,
    wire::{ItemView, Release, Released, Reserve, Reserved, SetStock},
};
use crate::commands::{Command, ReleaseReply, ReserveReply, SetStockReply};

/// Set the stock of an item
///
/// Sets how many units of an item, known or new, are available. What is held or sold does not change. With `If-Match`,
/// only if the item is as it was read: its `ETag` is one of these. With `If-None-Match: *`, only if it is new.
#[utoipa::path(
    post, path = "/api/v1/stock/items", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = SetStock,
    params(
        ("If-Match" = Option<String>, Header, description = "the `ETag` of the item as it was read, in quotes"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such item"),
    ),
    responses(
        (status = 201, body = ItemView, description = "the item as stored", headers(("ETag" = String))),
        (status = 412, description = "the item is not as required; nothing was written"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn set_stock(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    preconditions: Preconditions,
    ApiJson(request): ApiJson<SetStock>,
) -> Result<Response, Problem> {
    let request = request.parse(preconditions)?;
    match app.context.mailbox.ask(|reply_to| Command::SetStock(request, reply_to), cause).await? {
        SetStockReply::Stored(item) => Ok(tagged(StatusCode::CREATED, &ItemView::from(&item))),
        SetStockReply::NotAsRequired => Err(Problem::precondition_failed(
            "the item is not as If-Match or If-None-Match requires; nothing was written",
        )),
        SetStockReply::TooMuch => {
            Err(Problem::unprocessable(FieldErrors::of("quantity", "is too large with what is held and sold")))
        }
    }
}

/// Reserve stock
///
/// Holds stock for the client, not for an order, until it is released, or expires if the operator has set a time for
/// that: then the response has `expires_at`. Send an idempotency key: a request that is repeated with the same key and
/// content gets the same answer, and nothing more is held. A request that was refused does not use its key up.
#[utoipa::path(
    post, path = "/api/v1/stock/reserve", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = Reserve,
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "the same as `idempotency_key` in the body, in quotes or without; it is valid for 24 hours, \
                           or what the operator has set, and for each owner a key of its own"),
    ),
    responses(
        (status = 200, body = Reserved),
        (status = 400, description = "insufficient stock, or the body is not JSON"),
        (status = 404, description = "item not found"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn reserve(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    headers: HeaderMap,
    ApiJson(request): ApiJson<Reserve>,
) -> Result<Json<Reserved>, Problem> {
    let request = request.parse(idempotency_key(&headers)?, &caller)?;
    let line = request.line.clone();
    match app.context.mailbox.ask(|reply_to| Command::Reserve(request, reply_to), cause).await? {
        ReserveReply::Reserved { id, remaining, expires_at } => {
            Ok(Json(Reserved::new(id, &line, remaining, expires_at)))
        }
        ReserveReply::Rejected(reason @ FailureReason::UnknownItem) => Err(Problem::not_found(reason.detail())),
        ReserveReply::Rejected(reason) => Err(Problem::bad_request(reason.detail())),
        ReserveReply::KeyReused => Err(key_reused()),
    }
}

/// Release reserved stock
///
/// Only reservations of clients can be released: the stock of an order is released by its saga. The key of an owner
/// releases what was reserved with a key of this owner; any other reservation is not found. With an idempotency key, a
/// repeated request gets the same answer, and not that it is released already.
#[utoipa::path(
    post, path = "/api/v1/stock/release", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = Release,
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "the same as `idempotency_key` in the body, in quotes or without; it is valid for 24 hours, \
                           or what the operator has set, and for each owner a key of its own"),
    ),
    responses(
        (status = 200, body = Released),
        (status = 400, description = "reservation already released, or the body is not JSON"),
        (status = 404, description = "reservation not found"),
        (status = 409, description = "the reservation belongs to an order"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn release(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    headers: HeaderMap,
    ApiJson(request): ApiJson<Release>,
) -> Result<Json<Released>, Problem> {
    let request = request.parse(idempotency_key(&headers)?, &caller)?;
    let id = request.id;
    match app.context.mailbox.ask(|reply_to| Command::Release(request, reply_to), cause).await? {
        ReleaseReply::Released(line) => Ok(Json(Released::new(id, &line))),
        ReleaseReply::ReleasedBefore => Err(Problem::bad_request("reservation already released")),
        ReleaseReply::HeldForOrder => {
            Err(Problem::conflict("the reservation belongs to an order, and only its saga can release it"))
        }
        ReleaseReply::NotFound => Err(Problem::not_found("reservation not found")),
        ReleaseReply::KeyReused => Err(key_reused()),
    }
}
