use maud::{Markup, html};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use shared_events::Service;

use crate::{
    client::ClientError,
    pages::fields::{Field, refusal},
    state::AppState,
};

/// The form that sets how many units of an item are available.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::pages) struct StockForm {
    #[serde(default)]
    pub(in crate::pages) stock_sku: String,
    #[serde(default)]
    pub(in crate::pages) stock_quantity: String,
}

impl StockForm {
    /// Renders it. `button` is what it says on the button, `error` why what was typed was refused.
    pub(in crate::pages) fn render(&self, action: &str, button: &str, error: Option<&ClientError>) -> Markup {
        let error = error.filter(|error| error.service() == Service::Inventory);
        let wrong = |field: &str| error.and_then(|error| error.field(field));
        html! {
            form method="post" action=(action) {
                (Field::text("stock_sku", "SKU", &self.stock_sku).with_error(wrong("item_sku")))
                (Field::number("stock_quantity", "Units that are available", &self.stock_quantity)
                    .with_error(wrong("quantity")))
                p.hint { "Sets the number of units that can be ordered; what is reserved stays reserved." }
                button type="submit" { (button) }
            }
        }
    }

    /// Returns the SKU, without spaces around it.
    pub(in crate::pages) fn sku(&self) -> &str {
        self.stock_sku.trim()
    }

    /// Sets the number of available units.
    pub(in crate::pages) async fn put(&self, app: &AppState) -> Result<(), ClientError> {
        let units = self.stock_quantity.trim().parse::<i64>();
        let units = units.map_err(|_| refusal(Service::Inventory, "quantity", "must be a whole number"))?;
        set_stock(app, self.sku(), units).await
    }
}

/// Sets the number of available units.
pub(in crate::pages) async fn set_stock(app: &AppState, sku: &str, units: i64) -> Result<(), ClientError> {
    let body = json!({"item_sku": sku, "quantity": units});
    app.services.inventory.send::<serde_json::Value>(Method::POST, "/api/v1/stock/items", &body).await.map(drop)
}
