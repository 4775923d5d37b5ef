use std::sync::Arc;

use axum::{Form, extract::State, response::Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    OrderForm, StockForm,
    place::{self, Item, NewOrder, Outcome},
    placed, set_stock,
};
use crate::{
    client::{ClientError, path_segment},
    state::AppState,
};

/// The item of the examples.
pub(super) const SKU: &str = "SKU-ABC";
/// Returns what the form for stock suggests.
pub(super) fn stock() -> StockForm {
    StockForm { stock_sku: SKU.to_owned(), stock_quantity: "100".to_owned() }
}

/// So many units are put in when fewer than an example needs are there.
const UNITS: i64 = 100;
/// The most that one can order, and more than is ever in stock of this item.
const TOO_MANY: i64 = 1_000_000_000;

/// An order with a certain end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Example {
    Confirmed,
    Declined,
    Insufficient,
}

impl Example {
    const ALL: [(Self, &'static str, &'static str, &'static str); 3] = [
        (Self::Confirmed, "confirmed", "An order that is confirmed", "Stock is reserved, and the payment authorized."),
        (
            Self::Declined,
            "declined",
            "A payment that is declined",
            "The simulated gateway declines amounts of 1000 and more; the stock is given back.",
        ),
        (Self::Insufficient, "insufficient", "Too little stock", "Nothing is reserved, and nothing is charged."),
    ];

    fn order(self) -> NewOrder {
        let (quantity, amount) = match self {
            Self::Confirmed => (2, "200"),
            Self::Declined => (2, "5000"),
            Self::Insufficient => (TOO_MANY, "200"),
        };
        let amount = RawValue::from_string(amount.to_owned()).expect("a number is JSON");
        let items = vec![Item { item_sku: SKU.to_owned(), quantity }];
        NewOrder { items, amount, currency: "USD".to_owned(), idempotency_key: None }
    }
}

/// Renders a button for each example.
pub(super) fn render() -> Markup {
    html! {
        section.card {
            h2 { "Examples" }
            p.hint { "One click each. Stock of " (SKU) " is put in first, if it is needed." }
            div.grid {
                @for (_, name, title, text) in Example::ALL {
                    form method="post" action="/try/example" {
                        button type="submit" name="example" value=(name) { (title) }
                        p.hint { (text) }
                    }
                }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    example: Example,
}

/// Places an example.
pub(super) async fn place(State(app): State<Arc<AppState>>, Form(Chosen { example }): Form<Chosen>) -> Response {
    placed(&app, run(&app, example).await, &OrderForm::default()).await
}

async fn run(app: &AppState, example: Example) -> Result<Outcome, ClientError> {
    if available(app).await? < 2 {
        set_stock(app, SKU, UNITS).await?;
    }
    place::place_once(&app.services.order, &example.order()).await
}

/// Returns how many units can be ordered.
async fn available(app: &AppState) -> Result<i64, ClientError> {
    #[derive(Deserialize)]
    struct Stock {
        quantity: i64,
    }
    match app.services.inventory.get::<Stock>(&format!("/api/v1/stock/{}", path_segment(SKU)), &[]).await {
        Ok(stock) => Ok(stock.quantity),
        Err(error) if error.is_not_found() => Ok(0),
        Err(error) => Err(error),
    }
}
