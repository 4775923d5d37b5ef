use std::sync::Arc;

use axum::{Json, extract::State};
use service_host::service::ServiceContext;
use service_http::{ApiJson, Problem, RequestCause};

use super::wire::{Authorize, PaymentView};
use crate::participant::{Command, Payments};

/// Authorize a payment
///
/// Each request is a payment of its own, outside any order's saga. A decline is an answer, not an error.
#[utoipa::path(
    post, path = "/api/v1/payments/authorize", tag = "payments", request_body = Authorize,
    responses(
        (status = 200, body = PaymentView, description = "decided: `authorized` says how"),
        (status = 503, description = "the gateway is away, or the service is overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn authorize(
    State(context): State<Arc<ServiceContext<Payments>>>,
    RequestCause(cause): RequestCause,
    ApiJson(wish): ApiJson<Authorize>,
) -> Result<Json<PaymentView>, Problem> {
    let payment = context.mailbox.ask(Command::Authorize(wish.parse()?), cause).await?;
    Ok(Json(PaymentView::from(&payment)))
}
