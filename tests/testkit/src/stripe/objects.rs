use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) type Fields = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) amount: i64,
    /// What was taken.
    pub(super) received: i64,
    pub(super) currency: String,
    pub(super) status: &'static str,
    pub(super) method: Option<String>,
    pub(super) last_error: Option<Value>,
    pub(super) cancellation_reason: Option<&'static str>,
    pub(super) metadata: Fields,
    pub(super) created: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) intent: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: &'static str,
    pub(super) metadata: Fields,
}

impl Intent {
    pub(super) fn key(&self) -> Option<&str> {
        self.metadata.get("payment_key").map(String::as_str)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount, "currency": self.currency,
            "amount_capturable": if self.status == "requires_capture" { self.amount } else { 0 },
            "amount_received": self.received,
            "capture_method": "manual", "status": self.status, "payment_method": self.method,
            "last_payment_error": self.last_error, "cancellation_reason": self.cancellation_reason,
            "metadata": self.metadata, "created": self.created, "livemode": false,
        })
    }
}

impl Refund {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "object": "refund", "payment_intent": self.intent, "amount": self.amount,
            "currency": self.currency, "status": self.status, "metadata": self.metadata,
            "failure_reason": (self.status == "failed").then_some("expired_or_canceled_card"),
        })
    }
}

/// Takes the fields `metadata[…]` out of the fields of a request.
pub(super) fn metadata(fields: &mut Fields) -> Fields {
    let names: Vec<_> = fields.keys().filter(|name| name.starts_with("metadata[")).cloned().collect();
    let value = |name: String| {
        let value = fields.remove(&name)?;
        Some((name.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned(), value))
    };
    names.into_iter().filter_map(value).collect()
}

/// Whether Stripe takes this amount in this currency.
pub(super) fn is_amount(amount: i64, currency: &str) -> bool {
    amount > 0
        && match currency {
            "bhd" | "jod" | "kwd" | "omr" | "tnd" => amount % 10 == 0,
            "isk" | "ugx" => amount % 100 == 0,
            _ => true,
        }
}
