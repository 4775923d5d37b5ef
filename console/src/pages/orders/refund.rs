//! Refunding an order, whole or in part.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use shared_events::{Service, facts::Status};
use uuid::Uuid;

use super::{PAGE, badge, show::unknown};
use crate::{
    client::ClientError,
    layout,
    pages::fields::{Field, refusal},
    sequence::Order,
    state::AppState,
};

/// The form, as it was typed.
#[derive(Debug, Default)]
struct RefundForm {
    amount: String,
    /// The units of each line, in the order of the lines.
    units: Vec<String>,
    restock: bool,
    reason: String,
    /// The idempotency key, so that a form that is sent twice is one refund.
    key: String,
}

/// The request to the service.
#[derive(Debug, Serialize)]
struct NewRefund {
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item>>,
    restock: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    idempotency_key: String,
}

#[derive(Debug, Serialize)]
struct Item {
    item_sku: String,
    quantity: i64,
}

impl RefundForm {
    fn new(order: &Order) -> Self {
        Self { units: vec![String::new(); order.items.len()], key: Uuid::now_v7().to_string(), ..Self::default() }
    }

    fn read(fields: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, value) in fields {
            let value = value.trim().to_owned();
            match name.as_str() {
                "amount" => form.amount = value,
                "restock" => form.restock = true,
                "reason" => form.reason = value,
                "key" => form.key = value,
                _ if name.starts_with("units-") => form.units.push(value),
                _ => {}
            }
        }
        form
    }

    /// Returns the request, or what cannot be sent at all. Everything else is checked by the service.
    fn check(&self, order: &Order) -> Result<NewRefund, ClientError> {
        let mut items = Vec::new();
        for (index, (line, units)) in order.items.iter().zip(&self.units).enumerate() {
            if units.is_empty() || units == "0" {
                continue;
            }
            let field = format!("items[{index}].quantity");
            let quantity = units.parse().map_err(|_| refusal(Service::Order, &field, "must be a whole number"))?;
            items.push(Item { item_sku: line.item_sku.clone(), quantity });
        }
        let amount = Some(&self.amount).filter(|amount| !amount.is_empty()).map(|amount| {
            let number = RawValue::from_string(amount.clone()).ok();
            let number = number.filter(|number| number.get().starts_with(|first: char| first.is_ascii_digit()));
            number.ok_or_else(|| refusal(Service::Order, "amount", "must be a number such as 200 or 19.99"))
        });
        Ok(NewRefund {
            amount: amount.transpose()?,
            items: Some(items).filter(|items| !items.is_empty()),
            restock: self.restock,
            reason: Some(self.reason.clone()).filter(|reason| !reason.is_empty()),
            idempotency_key: self.key.clone(),
        })
    }

    fn render(&self, order: &Order, error: Option<&ClientError>) -> Markup {
        let wrong = |field: &str| error.and_then(|error| error.field(field));
        html! {
            @if let Some(error) = error { (layout::failure(error)) }
            form method="post" action=(format!("/orders/{}/refund", order.order_id)) {
                input type="hidden" name="key" value=(self.key);
                (Field::number("amount", &format!("Amount in {}", order.currency), &self.amount)
                    .optional().with_error(wrong("amount")))
                p.hint { "Empty: all that is left of the order." }
                @for (index, line) in order.items.iter().enumerate() {
                    @let units = self.units.get(index).map_or("", String::as_str);
                    (Field::number(&format!("units-{index}"), &format!("Units of {}", line.item_sku), units)
                        .optional().with_error(wrong(&format!("items[{index}].quantity"))))
                }
                @if let Some(error) = wrong("items") { p.field-error { "The units: " (error) } }
                p.hint { "Empty: not said for a part of the amount, or all that is left of the order with it." }
                div {
                    input #restock type="checkbox" name="restock" checked[self.restock];
                    label for="restock" { "The goods come back into stock" }
                }
                (Field::text("reason", "Reason", &self.reason).optional().with_error(wrong("reason")))
                button.danger type="submit" { "Refund the order" }
            }
        }
    }
}

/// Asks how much is to go back.
pub(super) async fn ask(State(app): State<Arc<AppState>>, Path(order_id): Path<String>) -> Response {
    match order(&app, &order_id).await {
        Ok(order) => page(&app, order.order_id, StatusCode::OK, question(&order, &RefundForm::new(&order), None)),
        Err(response) => response,
    }
}

fn question(order: &Order, form: &RefundForm, error: Option<&ClientError>) -> Markup {
    html! {
        p { "The order is " (badge(order.status)) "." }
        @if order.status == Status::Confirmed {
            p {
                (order.amount.get()) " " (order.currency) " were paid"
                @if let Some(refunded) = &order.refunded_amount { ", " (refunded.get()) " went back" }
                "."
            }
            (form.render(order, error))
        } @else {
            p { "Only an order that is CONFIRMED can be refunded." }
        }
    }
}

/// Requests the refund, and shows the order, or why it was refused.
pub(super) async fn request(
    State(app): State<Arc<AppState>>,
    Path(order_id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let order = match order(&app, &order_id).await {
        Ok(order) => order,
        Err(response) => return response,
    };
    let (id, form) = (order.order_id, RefundForm::read(fields));
    let sent = match form.check(&order) {
        Ok(body) => {
            let path = format!("/api/v1/orders/{id}/refunds");
            app.services.order.send::<Value>(Method::POST, &path, &body).await
        }
        Err(refusal) => Err(refusal),
    };
    match sent {
        Ok(_) => Redirect::to(&format!("/orders/{id}")).into_response(),
        Err(error) => {
            let status = match error {
                ClientError::Refused { status, .. } => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
                _ => StatusCode::BAD_GATEWAY,
            };
            page(&app, id, status, question(&order, &form, Some(&error)))
        }
    }
}

/// Returns the order, or the page that says why there is none.
async fn order(app: &AppState, order_id: &str) -> Result<Order, Response> {
    let Ok(id) = order_id.parse::<i64>() else { return Err(unknown(app, order_id)) };
    app.services.order.get(&format!("/api/v1/orders/{id}"), &[]).await.map_err(|error| {
        if error.is_not_found() {
            unknown(app, order_id)
        } else {
            page(app, id, StatusCode::OK, layout::failure(&error))
        }
    })
}

fn page(app: &AppState, id: i64, status: StatusCode, content: Markup) -> Response {
    let content = html! {
        h1 { "Refund order " (id) }
        (content)
        p { a href=(format!("/orders/{id}")) { "Back to the order" } }
    };
    (status, layout::page(app, PAGE.path, &format!("Refund order {id}"), content)).into_response()
}
