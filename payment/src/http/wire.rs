use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_http::{FieldErrors, Problem};
use shared_events::{Currency, IdempotencyKey, Money, OrderId, OwnedKey, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    commands::AuthorizeRequest,
    domain::{Payment, PaymentKey},
};

/// The request for an authorization.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Authorize {
    #[schema(example = 1, minimum = 1)]
    order_id: i64,
    /// In major units, with at most as many decimals as the currency has. Parsed exactly, never as a float.
    #[schema(value_type = f64, example = 200.50)]
    amount: Box<RawValue>,
    /// The ISO 4217 code.
    #[schema(example = "USD")]
    currency: String,
    /// A key that the client chooses: a repeated request with the same key and content returns the same payment.
    #[schema(example = "unique-key-001", max_length = 255)]
    idempotency_key: Option<String>,
}

impl Authorize {
    /// Validates the request of `owner`, and gives it a new key at the gateway. `header` is the value of its
    /// `Idempotency-Key` header.
    pub(super) fn parse(self, header: Option<&str>, owner: &str) -> Result<AuthorizeRequest, Problem> {
        let mut errors = FieldErrors::new();
        let order_id = if self.order_id < 1 { Err("must be at least 1") } else { Ok(OrderId(self.order_id)) };
        let order_id = errors.check("order_id", order_id);
        let currency = errors.check("currency", self.currency.parse::<Currency>());
        let amount = currency.and_then(|currency| errors.check("amount", Money::parse(self.amount.get(), currency)));
        let key = IdempotencyKey::of_request(self.idempotency_key.as_deref(), header);
        let key = errors.check("idempotency_key", key).flatten();
        let idempotency_key = key.map(|key| OwnedKey { owner: owner.to_owned(), key });
        errors.into_result()?;
        let (Some(order_id), Some(amount)) = (order_id, amount) else { return Err(Problem::internal()) };
        Ok(AuthorizeRequest { key: PaymentKey(Uuid::now_v7()), order_id, amount, idempotency_key })
    }
}

/// A payment as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentView {
    #[schema(example = 1)]
    payment_id: i64,
    /// Whether the amount is held now, or was taken.
    authorized: bool,
    /// `REQUESTED` (the gateway has not answered yet), `AUTHORIZED`, `DECLINED`, `CAPTURING`, `CAPTURED`,
    /// `CAPTURE_FAILED`, `VOIDING` or `VOIDED`.
    #[schema(example = "AUTHORIZED")]
    status: &'static str,
    #[schema(example = 1)]
    order_id: i64,
    /// In major units, exact.
    #[schema(value_type = f64, example = 200.50)]
    amount: Box<RawValue>,
    #[schema(example = "USD")]
    currency: &'static str,
    /// How much of it has gone back to the customer, in major units. Only if something has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 50)]
    refunded_amount: Option<Box<RawValue>>,
    /// Why it was declined, or its capture failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The gateway's reference of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Payment> for PaymentView {
    fn from(payment: &Payment) -> Self {
        Self {
            payment_id: payment.payment_id.0,
            authorized: payment.is_authorized(),
            status: payment.state.as_str(),
            order_id: payment.order_id.0,
            amount: payment.amount.json_amount(),
            currency: payment.amount.currency().code(),
            refunded_amount: payment.refunded().map(Money::json_amount),
            reason: payment.state.reason().map(str::to_owned),
            reference: payment.reference.clone(),
            created_at: payment.created_at,
            updated_at: payment.changed_at,
        }
    }
}
