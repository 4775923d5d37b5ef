use maud::{Markup, html};
use serde_json::value::RawValue;
use shared_events::Service;

use super::{
    Notice, examples,
    fields::{Field, refusal},
    place::{Item, NewOrder},
};
use crate::client::ClientError;

/// How many lines the form has at most; the API takes more.
const MAX_LINES: usize = 20;

/// The form for one order, as it was typed.
#[derive(Debug, Clone)]
pub(super) struct OrderForm {
    /// SKU and quantity.
    lines: Vec<(String, String)>,
    amount: String,
    currency: String,
    key: String,
}

impl Default for OrderForm {
    fn default() -> Self {
        Self {
            lines: vec![(examples::SKU.to_owned(), "2".to_owned())],
            amount: "200".to_owned(),
            currency: "USD".to_owned(),
            key: String::new(),
        }
    }
}

impl OrderForm {
    /// Reads what was sent. Lines without SKU and quantity are left out.
    pub(super) fn read(fields: Vec<(String, String)>) -> Self {
        let mut form = Self { lines: Vec::new(), amount: String::new(), currency: String::new(), key: String::new() };
        let (mut skus, mut quantities) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let value = value.trim().to_owned();
            match name.split_once('-').map_or(name.as_str(), |(name, _)| name) {
                "sku" => skus.push(value),
                "quantity" => quantities.push(value),
                "amount" => form.amount = value,
                "currency" => form.currency = value,
                "key" => form.key = value,
                _ => {}
            }
        }
        let lines = skus.into_iter().zip(quantities).filter(|(sku, quantity)| !(sku.is_empty() && quantity.is_empty()));
        form.lines = lines.take(MAX_LINES).collect();
        if form.lines.is_empty() {
            form.lines.push((String::new(), String::new()));
        }
        form
    }

    pub(super) fn with_another_line(mut self) -> Self {
        if self.lines.len() < MAX_LINES {
            self.lines.push((String::new(), "1".to_owned()));
        }
        self
    }

    /// Returns the request, or what cannot be sent at all. Everything else is checked by the service.
    pub(super) fn check(&self) -> Result<NewOrder, ClientError> {
        let refuse = |field: &str, detail| refusal(Service::Order, field, detail);
        let mut items = Vec::new();
        for (index, (sku, quantity)) in self.lines.iter().enumerate() {
            let quantity = quantity.parse();
            let quantity =
                quantity.map_err(|_| refuse(&format!("items[{index}].quantity"), "must be a whole number"))?;
            items.push(Item { item_sku: sku.clone(), quantity });
        }
        let amount = RawValue::from_string(self.amount.clone()).ok();
        let amount =
            amount.filter(|amount| amount.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        let amount = amount.ok_or_else(|| refuse("amount", "must be a number such as 200 or 19.99"))?;
        let idempotency_key = (!self.key.is_empty()).then(|| self.key.clone());
        Ok(NewOrder { items, amount, currency: self.currency.clone(), idempotency_key })
    }

    pub(super) fn render(&self, notice: &Notice) -> Markup {
        let failure = notice.failure().filter(|error| error.service() == Service::Order);
        let error = |field: &str| failure.and_then(|error| error.field(field));
        html! {
            form method="post" action="/try" {
                @for (index, (sku, quantity)) in self.lines.iter().enumerate() {
                    @let number = index + 1;
                    fieldset {
                        legend { "Line " (number) }
                        div.row {
                            (Field::text(&format!("sku-{number}"), "SKU", sku)
                                .with_error(error(&format!("items[{index}].item_sku"))))
                            (Field::number(&format!("quantity-{number}"), "Quantity", quantity)
                                .with_error(error(&format!("items[{index}].quantity"))))
                        }
                    }
                }
                @if let Some(error) = error("items") { p.field-error { "The lines: " (error) } }
                div.row {
                    (Field::number("amount", "Amount", &self.amount).with_error(error("amount")))
                    (Field::text("currency", "Currency", &self.currency).with_error(error("currency")))
                }
                (Field::text("key", "Idempotency key", &self.key).optional().with_error(error("idempotency_key")))
                p.hint { "With a key, the same order sent twice is one order." }
                // The first button of a form is what Enter in an input pushes.
                div.actions {
                    button type="submit" { "Place the order" }
                    @if self.lines.len() < MAX_LINES {
                        button.quiet type="submit" name="add-line" value="1" formnovalidate { "Add a line" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> OrderForm {
        OrderForm::read(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn lines_are_read_and_empty_ones_left_out() {
        let form = read(&[
            ("sku-1", " A "),
            ("quantity-1", "2"),
            ("sku-2", ""),
            ("quantity-2", ""),
            ("sku-3", "B"),
            ("quantity-3", "1"),
            ("amount", "19.99"),
            ("currency", "EUR"),
            ("key", ""),
        ]);
        let json = serde_json::to_string(&form.check().unwrap()).unwrap();
        let expected = r#"{"items":[{"item_sku":"A","quantity":2},{"item_sku":"B","quantity":1}],"amount":19.99,"currency":"EUR"}"#;
        assert_eq!(json, expected);
        assert_eq!(form.with_another_line().lines.len(), 3);
    }

    #[test]
    fn what_cannot_be_sent_is_named_by_its_field() {
        for (quantity, amount, field) in [
            ("two", "1", "items[0].quantity"),
            ("", "1", "items[0].quantity"),
            ("1", "", "amount"),
            ("1", "\"1\"", "amount"),
            ("1", "1,5", "amount"),
            ("1", "null", "amount"),
            ("1", "{}", "amount"),
        ] {
            let form = read(&[("sku-1", "A"), ("quantity-1", quantity), ("amount", amount), ("currency", "EUR")]);
            assert!(form.check().unwrap_err().field(field).is_some(), "{quantity} {amount}");
        }
    }
}
