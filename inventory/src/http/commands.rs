use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use service_http::{
    ApiJson, FieldErrors, Problem, RequestCause,
    access::{Caller, Scope},
};
use shared_events::FailureReason;

use super::{
    state::AppState,
    wire::{ItemView, Release, Released, Reserve, Reserved, SetStock},
};
use crate::{
    commands::{Command, ReleaseReply, ReserveReply, SetStockReply},
    domain::ReservationId,
};

/// Set the stock of an item
///
/// Sets how many units of an item, known or new, are available. What is held or sold does not change.
#[utoipa::path(
    post, path = "/api/v1/stock/items", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = SetStock,
    responses(
        (status = 201, body = ItemView, description = "the item as stored"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn set_stock(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    ApiJson(request): ApiJson<SetStock>,
) -> Result<(StatusCode, Json<ItemView>), Problem> {
    let (sku, units) = request.parse()?;
    match app.context.mailbox.ask(|reply_to| Command::SetStock(sku, units, reply_to), cause).await? {
        SetStockReply::Stored(item) => Ok((StatusCode::CREATED, Json(ItemView::from(&item)))),
        SetStockReply::TooMuch => {
            Err(Problem::unprocessable(FieldErrors::of("quantity", "is too large with what is held and sold")))
        }
    }
}

/// Reserve stock
///
/// Holds stock for the client, not for an order, until it is released, or expires if the operator has set a time for
/// that: then the response has `expires_at`.
#[utoipa::path(
    post, path = "/api/v1/stock/reserve", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = Reserve,
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
    ApiJson(request): ApiJson<Reserve>,
) -> Result<Json<Reserved>, Problem> {
    let line = request.parse()?;
    let owner = caller.owner_of_new().to_owned();
    match app.context.mailbox.ask(|reply_to| Command::Reserve(line.clone(), owner, reply_to), cause).await? {
        ReserveReply::Reserved { id, remaining, expires_at } => {
            Ok(Json(Reserved::new(id, &line, remaining, expires_at)))
        }
        ReserveReply::Rejected(reason @ FailureReason::UnknownItem) => Err(Problem::not_found(reason.detail())),
        ReserveReply::Rejected(reason) => Err(Problem::bad_request(reason.detail())),
    }
}

/// Release reserved stock
///
/// Only reservations of clients can be released: the stock of an order is released by its saga. The key of an owner
/// releases what was reserved with a key of this owner; any other reservation is not found.
#[utoipa::path(
    post, path = "/api/v1/stock/release", tag = "stock", security(("bearer" = [Scope::StockWrite])),
    request_body = Release,
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
    ApiJson(Release { reservation_id }): ApiJson<Release>,
) -> Result<Json<Released>, Problem> {
    let id = ReservationId(reservation_id);
    let owner = caller.owner().cloned();
    match app.context.mailbox.ask(|reply_to| Command::Release(id, owner, reply_to), cause).await? {
        ReleaseReply::Released(line) => Ok(Json(Released::new(id, &line))),
        ReleaseReply::ReleasedBefore => Err(Problem::bad_request("reservation already released")),
        ReleaseReply::HeldForOrder => {
            Err(Problem::conflict("the reservation belongs to an order, and only its saga can release it"))
        }
        ReleaseReply::NotFound => Err(Problem::not_found("reservation not found")),
    }
}
