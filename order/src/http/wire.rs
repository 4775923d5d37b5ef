use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_http::{FieldErrors, Problem};
use shared_events::{
    Currency, FailureReason, Line, Lines, Money, PaymentMethod, PaymentMethodError, Quantity, SagaId, Sku, Timestamp,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{IdempotencyKey, NewOrder, Order};

/// The request for an order, with either `item_sku` and `quantity` or `items`.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PlaceOrder {
    #[schema(example = "SKU-ABC", max_length = 64)]
    item_sku: Option<String>,
    #[schema(example = 2, minimum = 1)]
    quantity: Option<i64>,
    /// Several lines, of which all or none are reserved. Quantities of the same SKU are added up.
    #[schema(max_items = 100)]
    items: Option<Vec<Item>>,
    /// In major units, with at most as many decimals as the currency has. Parsed exactly, never as a float.
    #[schema(value_type = f64, example = 200)]
    amount: Box<RawValue>,
    /// The ISO 4217 code.
    #[schema(example = "USD")]
    currency: String,
    /// The payment gateway's token of the customer's means of payment, such as Stripe's `pm_…`. Never a card number.
    #[schema(value_type = Option<String>, example = "pm_card_visa", max_length = 255)]
    payment_method: Option<Box<RawValue>>,
    /// A key that the client chooses: a repeated request with the same key and content returns the same order.
    #[schema(example = "unique-key-001", max_length = 255)]
    idempotency_key: Option<String>,
}

/// One line of an order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Item {
    #[schema(example = "SKU-ABC")]
    item_sku: String,
    #[schema(example = 2, minimum = 1)]
    quantity: i64,
}

impl PlaceOrder {
    /// Validates the request of `owner`. `header` is the value of its `Idempotency-Key` header.
    pub(super) fn parse(self, header: Option<&str>, owner: &str) -> Result<NewOrder, Problem> {
        let mut errors = FieldErrors::new();
        let lines = lines(&mut errors, self.item_sku, self.quantity, self.items);
        let currency = errors.check("currency", self.currency.parse::<Currency>());
        let total = currency.and_then(|currency| errors.check("amount", Money::parse(self.amount.get(), currency)));
        let payment_method = self.payment_method.map(|raw| payment_method(&raw));
        let payment_method = payment_method.and_then(|method| errors.check("payment_method", method));
        let key = IdempotencyKey::of_request(self.idempotency_key.as_deref(), header);
        let key = errors.check("idempotency_key", key).flatten();
        errors.into_result()?;
        let (Some(lines), Some(total)) = (lines, total) else { return Err(Problem::internal()) };
        let (saga_id, owner) = (SagaId(Uuid::now_v7()), owner.to_owned());
        Ok(NewOrder { saga_id, owner, lines, total, payment_method, idempotency_key: key })
    }
}

/// Reads a token. It is not deserialized with the body, whose errors contain what they refuse: here, perhaps a card
/// number.
fn payment_method(raw: &RawValue) -> Result<PaymentMethod, PaymentMethodError> {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => PaymentMethod::parse(&text),
        // A number may be a card number, too.
        Err(_) => Err(PaymentMethod::parse(raw.get()).err().unwrap_or(PaymentMethodError::Invalid)),
    }
}

fn lines(
    errors: &mut FieldErrors,
    item_sku: Option<String>,
    quantity: Option<i64>,
    items: Option<Vec<Item>>,
) -> Option<Lines> {
    let several = items.is_some();
    let items = match (item_sku, quantity, items) {
        (None, None, Some(items)) => items,
        (Some(item_sku), Some(quantity), None) => vec![Item { item_sku, quantity }],
        (Some(_), None, None) => return errors.check("quantity", Err("is missing")),
        (None, Some(_), None) => return errors.check("item_sku", Err("is missing")),
        (None, None, None) => return errors.check("item_sku", Err("is missing, and so is items")),
        (_, _, Some(_)) => {
            return errors.check("items", Err("cannot be combined with item_sku or quantity"));
        }
    };
    let field = |index: usize, name: &str| if several { format!("items[{index}].{name}") } else { name.to_owned() };
    parse_lines(errors, items, field, if several { "items" } else { "quantity" })
}

/// Parses the field `items`.
pub(super) fn parse_items(errors: &mut FieldErrors, items: Vec<Item>) -> Option<Lines> {
    parse_lines(errors, items, |index, name| format!("items[{index}].{name}"), "items")
}

fn parse_lines(
    errors: &mut FieldErrors,
    items: Vec<Item>,
    field: impl Fn(usize, &str) -> String,
    all: &str,
) -> Option<Lines> {
    let parsed: Vec<Option<Line>> = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let sku = errors.check(field(index, "item_sku"), Sku::parse(&item.item_sku));
            let quantity = errors.check(field(index, "quantity"), Quantity::new(item.quantity));
            Some(Line { sku: sku?, quantity: quantity? })
        })
        .collect();
    let parsed: Vec<Line> = parsed.into_iter().collect::<Option<_>>()?;
    errors.check(all, Lines::new(parsed))
}

/// An order as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView {
    #[schema(example = 1)]
    order_id: i64,
    /// `PENDING` or `COMPENSATING`, or a final status: `CONFIRMED`, `FAILED` or `CANCELLED`.
    #[schema(example = "CONFIRMED")]
    status: &'static str,
    /// `PENDING`, `SUCCEEDED`, `FAILED`, `VOIDED` or `NOT_ATTEMPTED`.
    #[schema(example = "SUCCEEDED")]
    payment_status: &'static str,
    /// What became of the capture of a confirmed order's payment: `CAPTURED` or `FAILED`; absent until that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CAPTURED")]
    capture: Option<&'static str>,
    /// Only if the order has exactly one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "SKU-ABC")]
    item_sku: Option<Sku>,
    /// Only if the order has exactly one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
    /// All lines, sorted by SKU.
    #[schema(value_type = Vec<Item>)]
    items: Lines,
    /// In major units, exact.
    #[schema(value_type = f64, example = 200)]
    amount: Box<RawValue>,
    #[schema(example = "USD")]
    currency: &'static str,
    /// The payment gateway's token of the means of payment, if the client named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "pm_card_visa")]
    payment_method: Option<PaymentMethod>,
    /// How much of it has gone back to the customer, in major units. Only if something has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 50)]
    refunded_amount: Option<Box<RawValue>>,
    /// Why it failed: `INSUFFICIENT_STOCK`, `UNKNOWN_ITEM`, `PAYMENT_DECLINED` or `DEADLINE_EXCEEDED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    failure_reason: Option<FailureReason>,
    /// The failure reason as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed, except for `capture`: once it has ended, when it ended.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Increases with each change: of two responses or stream events about an order, the greater version is the newer.
    #[schema(minimum = 1)]
    version: i64,
    /// The owner of the API key with which it was placed; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "shop-a")]
    owner: Option<String>,
    /// The trace of its saga, if it has one. Only `GET /api/v1/orders/{order_id}` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: Option<String>,
}

impl OrderView {
    /// Adds the trace to which this `traceparent` belongs.
    #[must_use]
    pub(super) fn traced(self, traceparent: Option<&str>) -> Self {
        let trace_id = traceparent.and_then(|context| context.split('-').nth(1)).map(str::to_owned);
        Self { trace_id, ..self }
    }
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let details = &order.details;
        let only = details.lines.only();
        let failure_reason = order.facts.failure_reason();
        Self {
            order_id: details.order_id.0,
            status: order.status().as_str(),
            payment_status: order.facts.payment_status().as_str(),
            capture: order.facts.capture.as_str(),
            item_sku: only.map(|line| line.sku.clone()),
            quantity: only.map(|line| line.quantity.units()),
            items: details.lines.clone(),
            amount: details.total.json_amount(),
            currency: details.total.currency().code(),
            payment_method: details.payment_method.clone(),
            refunded_amount: order.refunded().map(Money::json_amount),
            failure_reason,
            detail: failure_reason.map(FailureReason::detail),
            created_at: order.placed_at,
            updated_at: order.changed_at,
            version: order.version,
            owner: (!order.owner.is_empty()).then(|| order.owner.clone()),
            trace_id: None,
        }
    }
}
