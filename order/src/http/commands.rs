use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use service_http::{
    ApiJson, ApiPath, Problem, RequestCause, accepted,
    access::{Caller, Scope},
    idempotency_key, key_reused,
};
use shared_events::OrderId;

use super::{
    prefer::Preference,
    state::AppState,
    wire::{OrderView, PlaceOrder},
};
use crate::{
    commands::{CancelReply, Command, PlaceReply},
    domain::Order,
    watch::Waiter,
};

/// Place an order
///
/// The saga is asynchronous. The response is sent when the order has ended, or after a wait: `Prefer: wait=N` seconds
/// or, without this header, the service's setting (5 s by default). With `Prefer: respond-async`, it is sent as soon as
/// the order is durable.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders", security(("bearer" = [Scope::OrdersWrite])),
    extensions(("x-unaudited" = json!(true))),
    request_body = PlaceOrder,
    params(
        ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=N` in seconds (RFC 7240)"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "the same as `idempotency_key` in the body, in quotes or without; it is valid for as long as \
                           the order exists, and for each owner a key of its own"),
    ),
    responses(
        (status = 200, body = OrderView, description = "the saga has ended; a failed order is a result, not an error"),
        (status = 202, body = OrderView, description = "the order is durable, and its saga still runs; see `Location`"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn place(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    headers: HeaderMap,
    ApiJson(request): ApiJson<PlaceOrder>,
) -> Result<Response, Problem> {
    let new = request.parse(idempotency_key(&headers)?, caller.owner_of_new())?;
    let preference = Preference::of(&headers, app.wait);
    if app.context.outbox.depth() > app.max_backlog {
        return Err(Problem::overloaded("too many orders are under way; nothing was written"));
    }
    // Waiting starts before the order exists, so its end cannot be missed.
    let mut waiter = (!preference.wait.is_zero()).then(|| app.watchers.wait_for(new.saga_id));
    let order = match app.context.mailbox.ask(|reply_to| Command::Place(new, reply_to), cause).await? {
        PlaceReply::Placed(order) => *order,
        PlaceReply::PlacedBefore(order) if order.status().is_terminal() => *order,
        PlaceReply::PlacedBefore(order) => {
            waiter = waiter.map(|_| app.watchers.wait_for(order.saga_id));
            // It may have ended before the wait started.
            app.order(order.details.order_id, None).await?
        }
        PlaceReply::KeyReused => return Err(key_reused()),
    };
    let order = match waiter {
        Some(waiter) if !order.status().is_terminal() => app.wait(order, waiter, &preference).await?,
        _ => order,
    };
    Ok(order_response(&order, preference.applied))
}

/// Cancel an order
///
/// If the order is already being cancelled, was cancelled or has failed, nothing changes, and the response shows its
/// current state.
#[utoipa::path(
    post, path = "/api/v1/orders/{order_id}/cancel", tag = "orders", security(("bearer" = [Scope::OrdersWrite])),
    params(("order_id" = i64, Path)),
    responses(
        (status = 202, body = OrderView, description = "it is being cancelled, was cancelled before, or has failed"),
        (status = 404, description = "order not found"),
        (status = 409, description = "the order is confirmed"),
        (status = 503, description = "overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn cancel(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    ApiPath(order_id): ApiPath<i64>,
) -> Result<Response, Problem> {
    let owner = caller.owner().cloned();
    let cancel = |reply_to| Command::Cancel(OrderId(order_id), owner, reply_to);
    match app.context.mailbox.ask(cancel, cause).await? {
        CancelReply::Accepted(order) => Ok((StatusCode::ACCEPTED, Json(OrderView::from(&*order))).into_response()),
        CancelReply::AlreadyConfirmed => Err(Problem::conflict("the order is confirmed")),
        CancelReply::NotFound => Err(Problem::not_found("order not found")),
    }
}

impl AppState {
    /// Waits for the order's end, and returns it; if the wait is over or the service begins to stop, returns its
    /// current state.
    async fn wait(&self, order: Order, mut waiter: Waiter, preference: &Preference) -> Result<Order, Problem> {
        tokio::select! {
            ended = waiter.ended() => if let Some(ended) = ended { return Ok(ended) },
            () = tokio::time::sleep(preference.wait) => {}
            () = self.context.stopping.cancelled() => {}
        }
        // The order is durable, so if this read fails, the state from before the wait is good enough.
        Ok(self.order(order.details.order_id, None).await.unwrap_or(order))
    }
}

fn order_response(order: &Order, applied: Option<HeaderValue>) -> Response {
    let view = OrderView::from(order);
    let mut response = if order.status().is_terminal() {
        Json(view).into_response()
    } else {
        let mut accepted = accepted(&format!("/api/v1/orders/{}", order.details.order_id), &view);
        accepted.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        accepted
    };
    if let Some(applied) = applied {
        response.headers_mut().insert("preference-applied", applied);
    }
    response
}
