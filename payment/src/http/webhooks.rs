use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use service_http::{Problem, RequestCause};

use super::state::AppState;
use crate::{
    commands::Command,
    gateway::{
        Reference,
        stripe::{SignatureError, payment_of_webhook},
    },
};

/// Receive a webhook of Stripe
///
/// Everybody may send one; its signature shows that it is of Stripe. It says only that a payment has changed: if the
/// service waits for an answer about it, it asks Stripe in a moment. So it does no harm if webhooks come twice or in
/// another order. The response is sent once that is durable.
#[utoipa::path(
    post, path = "/webhooks/stripe", tag = "webhooks", security(()),
    request_body(content = String, content_type = "application/json", description = "an event of Stripe"),
    params(("Stripe-Signature" = Option<String>, Header, description = "the time and the signatures of the body")),
    responses(
        (status = 200, description = "received"),
        (status = 400, description = "the signature does not fit, is too old or is missing, or the body is no event"),
        (status = 404, description = "the service receives no webhooks"),
        (status = 503, description = "overloaded or stopping; Stripe sends it again"),
    ),
)]
pub(super) async fn stripe(
    State(app): State<Arc<AppState>>,
    RequestCause(cause): RequestCause,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let secret = app.webhook_secret.as_ref().ok_or_else(|| Problem::not_found("no webhooks are received here"))?;
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    secret.verify(signature, &body, now.as_secs().cast_signed()).map_err(|error: SignatureError| {
        tracing::warn!(%error, "a webhook is refused; check --stripe-webhook-secret-file and this machine's clock");
        Problem::bad_request(error.to_string())
    })?;
    let payment = payment_of_webhook(&body).map_err(|_| Problem::bad_request("the body is no event of Stripe"))?;
    if let Some(reference) = payment.map(Reference) {
        app.context.mailbox.ask(|reply_to| Command::LookUp(reference, reply_to), cause).await?;
    }
    Ok(StatusCode::OK)
}
