use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use service_http::{
    ApiJson, Problem, RequestCause, accepted,
    access::{Caller, Scope},
    idempotency_key, key_reused,
};

use super::{
    state::AppState,
    wire::{Authorize, PaymentView},
};
use crate::{
    commands::{AuthorizeReply, Command},
    domain::{Payment, State as PaymentState},
    store,
};

/// Authorize a payment
///
/// The payment is outside any saga. A declined payment is a result, not an error. Send an idempotency key: a request
/// that is repeated with the same key and content returns the same payment, and nothing more is charged.
#[utoipa::path(
    post, path = "/api/v1/payments/authorize", tag = "payments", security(("bearer" = [Scope::PaymentsWrite])),
    request_body = Authorize,
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "the same as `idempotency_key` in the body, in quotes or without; it is valid for as long as \
                           the payment exists, and for each owner a key of its own"),
    ),
    responses(
        (status = 200, body = PaymentView, description = "the payment is authorized or declined; see `authorized`"),
        (status = 202, body = PaymentView,
            description = "the payment is durable and `REQUESTED`, and the gateway has not answered yet; see `Location`"),
        (status = 503, description = "service overloaded or stopping; nothing was written"),
    ),
)]
pub(super) async fn authorize(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    caller: Caller,
    headers: HeaderMap,
    ApiJson(request): ApiJson<Authorize>,
) -> Result<Response, Problem> {
    let request = request.parse(idempotency_key(&headers)?, caller.owner_of_new())?;
    match app.context.mailbox.ask(|reply_to| Command::Authorize(request, reply_to), cause).await? {
        AuthorizeReply::Payment(payment) => Ok(response(&app.answered(*payment).await)),
        AuthorizeReply::KeyReused => Err(key_reused()),
    }
}

impl AppState {
    /// Waits until the gateway has answered, and returns the payment; if the wait is over or the service begins to
    /// stop, returns its current state.
    async fn answered(&self, payment: Payment) -> Payment {
        if payment.state != PaymentState::Requested {
            return payment;
        }
        let answer = self.waiters.wait_for(payment.payment_id);
        // The answer may have come before the wait began. The payment is durable, so if a read fails, the state from
        // before is good enough.
        let read = async || store::by_id(&self.context.database.reader(), payment.payment_id).await.ok().flatten();
        if let Some(answered) = read().await.filter(|payment| payment.state != PaymentState::Requested) {
            return answered;
        }
        tokio::select! {
            answered = answer => if let Ok(answered) = answered { return answered },
            () = tokio::time::sleep(self.wait) => {}
            () = self.context.stopping.cancelled() => {}
        }
        // Another replica may have got the answer.
        read().await.unwrap_or(payment)
    }
}

fn response(payment: &Payment) -> Response {
    let view = PaymentView::from(payment);
    if payment.state != PaymentState::Requested {
        return Json(view).into_response();
    }
    let mut response = accepted(&format!("/api/v1/payments/{}", payment.payment_id), &view);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
