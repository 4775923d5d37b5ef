use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    faults::{Answer, ErrorAnswer, error},
    objects::{Fields, Intent, Refund, is_amount, metadata},
};

/// From this amount on, every card is declined.
const LIMIT: i64 = 100_000;

/// What is booked for a payment, in Stripe's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Held, and neither taken nor given up.
    pub held: i64,
    /// Taken.
    pub captured: i64,
    /// Given back of what was taken.
    pub refunded: i64,
}

/// The objects of an account, oldest first.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) intents: Vec<Intent>,
    pub(super) refunds: Vec<Refund>,
    /// The bodies of the webhooks.
    pub(super) events: Vec<Value>,
    /// How many intents the search has found so far.
    pub(super) indexed: usize,
    /// Authorizations have expired, and the intents do not say so yet.
    pub(super) charges_expired: bool,
}

type Done = Result<Value, ErrorAnswer>;

impl Books {
    /// Carries out a POST.
    pub(super) fn post(&mut self, path: &str, fields: Fields) -> Answer {
        let parts: Vec<_> = path.split('/').collect();
        let done = match parts.as_slice() {
            ["payment_intents"] => self.create(fields),
            ["payment_intents", id, operation @ ("confirm" | "capture" | "cancel")] => {
                self.change(id, operation, fields)
            }
            ["refunds"] => self.refund(fields),
            _ => Err(error(404, "invalid_request_error", "url_invalid", "Unrecognized request URL")),
        };
        done.map_or_else(|ErrorAnswer(answer)| answer, |body| (StatusCode::OK, body))
    }

    fn create(&mut self, mut fields: Fields) -> Done {
        let metadata = metadata(&mut fields);
        let mut take = |name: &str| fields.remove(name);
        let (amount, currency) = (take("amount"), take("currency").unwrap_or_default());
        let amount = amount.and_then(|amount| amount.parse().ok()).unwrap_or_default();
        let (capture, types, method) = (take("capture_method"), take("payment_method_types[]"), take("payment_method"));
        unknown_fields(&fields)?;
        assert_eq!((capture.as_deref(), types.as_deref()), (Some("manual"), Some("card")), "as the adapter wants it");
        if !is_amount(amount, &currency) {
            return Err(error(400, "invalid_request_error", "parameter_invalid_integer", "Invalid amount"));
        }
        if method.as_ref().is_some_and(|method| !method.starts_with("pm_card_")) {
            return Err(error(400, "invalid_request_error", "resource_missing", "No such PaymentMethod"));
        }
        let status = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" };
        let id = format!("pi_{}", self.intents.len() + 1);
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (last_error, cancellation_reason) = (None, None);
        let intent = Intent {
            id,
            amount,
            received: 0,
            currency,
            status,
            method,
            last_error,
            cancellation_reason,
            metadata,
            created,
        };
        let body = intent.to_json();
        self.intents.push(intent);
        self.event("payment_intent.created", body.clone());
        Ok(body)
    }

    fn change(&mut self, id: &str, operation: &str, mut fields: Fields) -> Done {
        let to_capture = fields.remove("amount_to_capture").and_then(|amount| amount.parse().ok());
        unknown_fields(&fields)?;
        let expired = self.charges_expired;
        let intent = self.intents.iter_mut().find(|intent| intent.id == id).ok_or_else(no_such_intent)?;
        match (operation, intent.status) {
            ("confirm", "requires_confirmation") => confirm(intent)?,
            ("capture", "requires_capture") if expired => {
                return Err(error(400, "invalid_request_error", "charge_expired_for_capture", "it has expired"));
            }
            ("capture", "requires_capture") => {
                (intent.status, intent.received) = ("succeeded", to_capture.unwrap_or(intent.amount));
            }
            ("cancel", status) if status.starts_with("requires_") => intent.status = "canceled",
            (_, status) => {
                let message = format!("You cannot {operation} this PaymentIntent because it has a status of {status}.");
                return Err(error(400, "invalid_request_error", "payment_intent_unexpected_state", &message));
            }
        }
        let (body, status) = (intent.to_json(), intent.status);
        self.event(&format!("payment_intent.{status}"), body.clone());
        Ok(body)
    }

    fn refund(&mut self, mut fields: Fields) -> Done {
        let metadata = metadata(&mut fields);
        let (intent, amount) = (fields.remove("payment_intent").unwrap_or_default(), fields.remove("amount"));
        unknown_fields(&fields)?;
        let amount: i64 = amount.and_then(|amount| amount.parse().ok()).unwrap_or_default();
        let intent = self.intents.iter().find(|known| known.id == intent).ok_or_else(no_such_intent)?;
        let refused = |code, message| Err(error(400, "invalid_request_error", code, message));
        if !is_amount(amount, &intent.currency) {
            return refused("parameter_invalid_integer", "Invalid amount");
        }
        if intent.status != "succeeded" {
            return refused("charge_not_captured", "This PaymentIntent does not have a successful charge to refund.");
        }
        if amount > intent.received - self.refunded(&intent.id) {
            return refused("amount_too_large", "Refund amount is greater than unrefunded amount on charge");
        }
        let (id, currency) = (format!("re_{}", self.refunds.len() + 1), intent.currency.clone());
        let intent = intent.id.clone();
        let refund = Refund { id, intent, amount, currency, status: "succeeded", metadata };
        let body = refund.to_json();
        self.refunds.push(refund);
        self.event("refund.created", body.clone());
        Ok(body)
    }

    pub(super) fn fail_last_refund(&mut self) {
        let refund = self.refunds.last_mut().unwrap();
        refund.status = "failed";
        let body = refund.to_json();
        self.event("refund.failed", body);
    }

    fn refunded(&self, intent: &str) -> i64 {
        let counts = |refund: &&Refund| refund.intent == intent && refund.status != "failed";
        self.refunds.iter().filter(counts).map(|refund| refund.amount).sum()
    }

    /// What is booked for the intents with this key.
    pub(super) fn totals(&self, key: &str) -> Totals {
        let mut totals = Totals::default();
        for intent in self.intents.iter().filter(|intent| intent.key() == Some(key)) {
            match intent.status {
                "requires_capture" => totals.held += intent.amount,
                "succeeded" => totals.captured += intent.received,
                _ => {}
            }
            totals.refunded += self.refunded(&intent.id);
        }
        totals
    }

    fn event(&mut self, kind: &str, object: Value) {
        let id = format!("evt_{}", self.events.len() + 1);
        self.events
            .push(json!({"id": id, "object": "event", "type": kind, "livemode": false, "data": {"object": object}}));
    }
}

/// Charges the card, whose token says what comes of it.
fn confirm(intent: &mut Intent) -> Result<(), ErrorAnswer> {
    match intent.method.as_deref() {
        Some("pm_card_authenticationRequired") => intent.status = "requires_action",
        Some(method) if intent.amount >= LIMIT || method == "pm_card_chargeDeclined" => {
            let reason = json!({
                "type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
                "message": "Your card was declined.",
            });
            intent.status = "requires_payment_method";
            intent.method = None;
            intent.last_error = Some(reason.clone());
            return Err(ErrorAnswer((StatusCode::PAYMENT_REQUIRED, json!({"error": reason}))));
        }
        _ => intent.status = "requires_capture",
    }
    Ok(())
}

fn no_such_intent() -> ErrorAnswer {
    error(404, "invalid_request_error", "resource_missing", "No such payment_intent")
}

fn unknown_fields(fields: &Fields) -> Result<(), ErrorAnswer> {
    match fields.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(error(400, "invalid_request_error", "parameter_unknown", &format!("unknown parameter: {name}")))
        }
    }
}
