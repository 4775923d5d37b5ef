//! The objects of Stripe's API, with the fields that are needed. Unknown fields are ignored, as Stripe adds some at any
//! time. The source is <https://docs.stripe.com/api>.

use std::collections::HashMap;

use serde::Deserialize;

/// A PaymentIntent.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) amount: i64,
    /// How much was taken.
    #[serde(default)]
    pub(super) amount_received: Option<i64>,
    pub(super) currency: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) payment_method: Option<String>,
    #[serde(default)]
    pub(super) last_payment_error: Option<ApiError>,
    #[serde(default)]
    pub(super) cancellation_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
}

/// A refund.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
}

impl Refund {
    /// Returns whether it moves money: it has, or it is going to.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.status.as_deref(), Some("failed" | "canceled"))
    }

    /// Returns why it has failed, if it has.
    pub(super) fn failure(&self) -> &str {
        let status = self.status.as_deref().unwrap_or_default();
        self.failure_reason.as_deref().unwrap_or(if status == "canceled" { status } else { "no reason is given" })
    }
}

/// An object with an id, by which the next page of a list begins.
pub(super) trait Listed {
    fn id(&self) -> &str;
}

impl Listed for Intent {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}

/// One page of a list, newest first, or of a search.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// Why a request or a payment failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) decline_code: Option<String>,
    #[serde(default)]
    pub(super) message: Option<String>,
}

impl ApiError {
    /// Returns the reason in words, with the codes by which Stripe's documentation lists it.
    pub(super) fn detail(&self) -> String {
        let message = self.message.as_deref().unwrap_or("Stripe gives no reason");
        let codes: Vec<_> = [&self.code, &self.decline_code].into_iter().flatten().map(String::as_str).collect();
        if codes.is_empty() { message.to_owned() } else { format!("{message} ({})", codes.join(", ")) }
    }
}

/// The body of a response that is an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ApiError,
}

/// What a webhook says. Of its content only the payment is read, which is then looked up: events arrive in any order
/// and more than once, so what they say may be out of date.
#[derive(Debug, Deserialize)]
struct WebhookEvent {
    data: WebhookData,
}

#[derive(Debug, Deserialize)]
struct WebhookData {
    object: WebhookObject,
}

#[derive(Debug, Deserialize)]
struct WebhookObject {
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

/// What a webhook is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSubject {
    /// The id of the PaymentIntent: of itself, or of a charge or a refund of it.
    pub payment: String,
    /// Whether it is a refund that has failed or was cancelled, which is final.
    pub is_failed_refund: bool,
}

/// Returns what a webhook is about; `None` if that is no payment.
///
/// # Errors
/// If the body is not an event.
pub fn subject_of_webhook(body: &[u8]) -> Result<Option<WebhookSubject>, serde_json::Error> {
    let WebhookObject { object, id, payment_intent, status } =
        serde_json::from_slice::<WebhookEvent>(body)?.data.object;
    let object = object.as_deref();
    let payment = if object == Some("payment_intent") { id } else { payment_intent };
    let is_failed_refund = object == Some("refund") && matches!(status.as_deref(), Some("failed" | "canceled"));
    Ok(payment.map(|payment| WebhookSubject { payment, is_failed_refund }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_names_a_payment() {
        let of = |object: &str| {
            let event = format!(r#"{{"id": "evt_1", "type": "x", "data": {{"object": {object}}}}}"#);
            subject_of_webhook(event.as_bytes()).unwrap().map(|subject| (subject.payment, subject.is_failed_refund))
        };
        let is = |id: &str, is_failed_refund| Some((id.to_owned(), is_failed_refund));
        assert_eq!(of(r#"{"object": "payment_intent", "id": "pi_1", "status": "canceled"}"#), is("pi_1", false));
        assert_eq!(of(r#"{"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}"#), is("pi_1", false));
        for (status, is_failed) in [("pending", false), ("succeeded", false), ("failed", true), ("canceled", true)] {
            let refund = format!(r#"{{"object": "refund", "payment_intent": "pi_1", "status": "{status}"}}"#);
            assert_eq!(of(&refund), is("pi_1", is_failed), "{status}");
        }
        assert_eq!(of(r#"{"object": "refund", "id": "re_1", "payment_intent": null}"#), None);
        assert_eq!(of(r#"{"object": "customer", "id": "cus_1"}"#), None);
        for body in ["", "{}", r#"{"data": 1}"#, r#"{"data": {"object": 1}}"#, "\u{0}"] {
            assert!(subject_of_webhook(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_reason_of_a_decline_has_its_codes() {
        let body = r#"{"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.", "doc_url": "https://stripe.com/docs"}}"#;
        let ErrorBody { error } = serde_json::from_str(body).unwrap();
        assert_eq!(error.detail(), "Your card has insufficient funds. (card_declined, insufficient_funds)");
        assert_eq!(ApiError::default().detail(), "Stripe gives no reason");
    }
}
