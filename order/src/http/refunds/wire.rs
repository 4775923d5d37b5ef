use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_http::{FieldErrors, Problem};
use shared_events::{IdempotencyKey, Lines, OrderId, RefundFailure, RefundId, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::wire::{Item, parse_items};
use crate::domain::{NewRefund, Refund, RefundState};

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// The request for a refund. Without `amount` and `items` it is for all that is left of the order.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct RequestRefund {
    /// In major units of the order's currency. Parsed exactly, never as a float.
    #[schema(value_type = Option<f64>, example = 50)]
    amount: Option<Box<RawValue>>,
    /// The goods that the money goes back for. They need an `amount`, because an order has no price for each item.
    #[schema(max_items = 100)]
    items: Option<Vec<Item>>,
    /// Whether the goods come back, and so are available again once the money has gone back.
    #[serde(default)]
    restock: bool,
    /// Why, in your own words.
    #[schema(max_length = 500, example = "one was broken")]
    reason: Option<String>,
    /// A key that the client chooses: a repeated request for the order with the same key and content returns the same
    /// refund.
    #[schema(example = "refund-001", max_length = 255)]
    idempotency_key: Option<String>,
}

impl RequestRefund {
    /// Validates the request. `header` is the value of its `Idempotency-Key` header.
    pub(super) fn parse(self, order_id: OrderId, header: Option<&str>) -> Result<NewRefund, Problem> {
        let mut errors = FieldErrors::new();
        let items = self.items.map(|items| parse_items(&mut errors, items));
        let key = IdempotencyKey::of_request(self.idempotency_key.as_deref(), header);
        let idempotency_key = errors.check("idempotency_key", key).flatten();
        if let Some(reason) = &self.reason {
            if reason.chars().count() > MAX_REASON {
                errors.push("reason", "must have at most 500 characters");
            } else if reason.contains('\0') {
                errors.push("reason", "must not contain NUL");
            }
        }
        errors.into_result()?;
        let amount = self.amount.map(|amount| amount.get().to_owned());
        let (refund_id, restock, reason) = (RefundId(Uuid::now_v7()), self.restock, self.reason);
        Ok(NewRefund { refund_id, order_id, amount, items: items.flatten(), restock, reason, idempotency_key })
    }
}

/// A refund as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RefundView {
    refund_id: Uuid,
    #[schema(example = 1)]
    order_id: i64,
    /// `REQUESTED`, `SUCCEEDED` or `FAILED`. What has succeeded may still fail, if the customer's bank refuses it.
    #[schema(example = "SUCCEEDED")]
    status: &'static str,
    /// In major units, exact.
    #[schema(value_type = f64, example = 50)]
    amount: Box<RawValue>,
    #[schema(example = "USD")]
    currency: &'static str,
    /// The goods that the money goes back for, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Item>>)]
    items: Option<Lines>,
    /// Whether the goods come back.
    restock: bool,
    /// Whether the goods are available again.
    restocked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "one was broken")]
    reason: Option<String>,
    /// Why it failed: `NOT_CAPTURED`, `EXCEEDS_CAPTURED`, `DECLINED`, or `REVERSED`: after it had succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    failure_reason: Option<RefundFailure>,
    /// The failure reason as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        let amount = refund.details.amount;
        let (status, failure_reason) = match refund.state {
            RefundState::Requested => ("REQUESTED", None),
            RefundState::Succeeded => ("SUCCEEDED", None),
            RefundState::Failed(reason) => ("FAILED", Some(reason)),
        };
        Self {
            refund_id: refund.details.refund_id.0,
            order_id: refund.order.order_id.0,
            status,
            amount: amount.json_amount(),
            currency: amount.currency().code(),
            items: refund.items.clone(),
            restock: refund.details.restock.is_some(),
            restocked: refund.restocked,
            reason: refund.reason.clone(),
            failure_reason,
            detail: failure_reason.map(RefundFailure::detail),
            created_at: refund.requested_at,
            updated_at: refund.changed_at,
        }
    }
}
