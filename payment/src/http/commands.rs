use std::sync::Arc;

use axum::{Json, extract::State};
use service_http::{ApiJson, Problem, RequestCause, access::Scope};

use super::{
    state::AppState,
    wire::{Authorize, PaymentView},
};
use crate::commands::Command;

/// Authorize a payment
///
/// Each request is a payment of its own, outside any saga. A declined payment is a result, not an error.
#[utoipa::path(
    post, path = "/api/v1/payments/authorize", tag = "payments", security(("bearer" = [Scope::PaymentsWrite])),
    request_body = Authorize,
    responses(
        (status = 200, body = PaymentView, description = "the payment is authorized or declined; see `authorized`"),
        (status = 503, description = "gateway unavailable, service overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn authorize(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    ApiJson(request): ApiJson<Authorize>,
) -> Result<Json<PaymentView>, Problem> {
    let request = request.parse()?;
    let payment = app.context.mailbox.ask(|reply_to| Command::Authorize(request, reply_to), cause).await?;
    Ok(Json(PaymentView::from(&payment)))
}
