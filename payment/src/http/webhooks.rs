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
        FailedRefund, Lookup, Outcome, Reference,
        stripe::{SignatureError, WebhookSubject, subject_of_webhook},
    },
};

/// Receive a webhook of Stripe
///
/// Everybody may send one; its signature shows that it is of Stripe. It says only that a payment has changed: if the
/// service waits for an answer about it, it asks Stripe in a moment; about a refund that has failed, it asks at once.
/// So it does no harm if webhooks come twice or in another order. The response is sent once that is durable.
#[utoipa::path(
    post, path = "/webhooks/stripe", tag = "webhooks", security(()),
    request_body(content = String, content_type = "application/json", description = "an event of Stripe"),
    params(("Stripe-Signature" = Option<String>, Header, description = "the time and the signatures of the body")),
    responses(
        (status = 200, description = "received"),
        (status = 400, description = "the signature does not fit, is too old or is missing, or the body is no event"),
        (status = 404, description = "the service receives no webhooks"),
        (status = 503, description = "overloaded, stopping, or Stripe does not answer; Stripe sends it again"),
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
    let subject = subject_of_webhook(&body).map_err(|_| Problem::bad_request("the body is no event of Stripe"))?;
    let Some(WebhookSubject { payment, is_failed_refund }) = subject else { return Ok(StatusCode::OK) };
    let reference = Reference(payment);
    if is_failed_refund {
        let failed = app.failed_refunds(&reference).await?;
        let command = |reply_to| Command::RefundsReversed(reference, failed, reply_to);
        app.context.mailbox.ask(command, cause).await?;
    } else {
        app.context.mailbox.ask(|reply_to| Command::LookUp(reference, reply_to), cause).await?;
    }
    Ok(StatusCode::OK)
}

impl AppState {
    /// Asks the gateway which refunds of a payment have failed. If it does not answer, the webhook is refused, so that
    /// it is sent again.
    async fn failed_refunds(&self, reference: &Reference) -> Result<Vec<FailedRefund>, Problem> {
        let lookup = self.gateway.lookup(Lookup::Reference(reference));
        let reason = match tokio::time::timeout(self.wait, lookup).await {
            Ok(Outcome::Done(payment)) => return Ok(payment.map(|one| one.failed_refunds).unwrap_or_default()),
            Ok(Outcome::Declined(decline)) => decline.detail,
            Ok(Outcome::Unknown(reason) | Outcome::RetryLater { reason, .. }) => reason,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(reason, "a webhook about a failed refund is refused, because the gateway does not answer");
        Err(Problem::unavailable("the payment gateway does not answer"))
    }
}
