//! Placing orders: one by a form, examples with one click, or many at once.

mod examples;
mod fields;
mod gateway;
mod many;
mod order_form;
mod place;
mod run;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use self::{fields::Field, order_form::OrderForm, place::Placed};
use super::{Page, is_page};
use crate::{client::ClientError, layout, state::AppState};

pub(crate) use run::Runs;

/// The page.
pub(super) const PAGE: Page = Page { path: "/try", title: "Try it", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route(PAGE.path, get(show).post(place_one))
        .route("/try/stock", post(put_stock))
        .route("/try/gateway", post(gateway::set))
        .route("/try/example", post(examples::place))
        .route("/try/many", get(many::progress).post(many::start))
        .route("/try/many/stop", post(many::stop))
}

/// What the last request did, or why it was refused, at the top of the page.
enum Notice {
    None,
    Done(Markup),
    Failed(ClientError),
}

impl Notice {
    fn render(&self) -> Markup {
        match self {
            Self::None => html! {},
            Self::Done(text) => html! { p.note role="status" { (text) } },
            Self::Failed(error) => layout::failure(error),
        }
    }

    /// The status of a page that says this.
    fn status(&self) -> StatusCode {
        match self {
            Self::None | Self::Done(_) => StatusCode::OK,
            Self::Failed(ClientError::Refused { status, .. }) if *status < 500 => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

async fn show(State(app): State<Arc<AppState>>) -> Response {
    respond(&app, &Notice::None, &OrderForm::default(), &StockForm::default()).await
}

async fn respond(app: &AppState, notice: &Notice, order: &OrderForm, stock: &StockForm) -> Response {
    let content = html! {
        h1 { "Try it" }
        (notice.render())
        (examples::render())
        div.grid {
            section.card {
                h2 { "Put stock in" }
                (stock.render(notice))
            }
            section.card {
                h2 { "Place an order" }
                (order.render(notice))
            }
            section.card #many {
                h2 { "Place many orders" }
                (many::render(&app.runs))
            }
            (gateway::section(app, notice).await)
        }
    };
    (notice.status(), layout::page(app, PAGE.path, PAGE.title, content)).into_response()
}

/// Leads to the page of the order, where one sees it go through the services.
async fn placed(app: &AppState, placed: Result<Placed, ClientError>, order: &OrderForm) -> Response {
    match placed {
        Ok(Placed { order_id }) if is_page("/orders") => Redirect::to(&format!("/orders/{order_id}")).into_response(),
        Ok(Placed { order_id }) => {
            let done = Notice::Done(html! { "Order " (order_id) " is placed." });
            respond(app, &done, order, &StockForm::default()).await
        }
        Err(error) => respond(app, &Notice::Failed(error), order, &StockForm::default()).await,
    }
}

async fn place_one(State(app): State<Arc<AppState>>, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let more_lines = fields.iter().any(|(name, _)| name == "add-line");
    let form = OrderForm::read(fields);
    if more_lines {
        return respond(&app, &Notice::None, &form.with_another_line(), &StockForm::default()).await;
    }
    match form.check() {
        Ok(order) => placed(&app, place::place(&app.services.order, &order).await, &form).await,
        Err(error) => respond(&app, &Notice::Failed(error), &form, &StockForm::default()).await,
    }
}

/// The form for putting stock in.
#[derive(Debug, Clone, Deserialize)]
struct StockForm {
    stock_sku: String,
    stock_quantity: String,
}

impl Default for StockForm {
    fn default() -> Self {
        Self { stock_sku: examples::SKU.to_owned(), stock_quantity: "100".to_owned() }
    }
}

impl StockForm {
    fn render(&self, notice: &Notice) -> Markup {
        let error = |field: &str| match notice {
            Notice::Failed(error) if error.service() == shared_events::Service::Inventory => error.field(field),
            _ => None,
        };
        html! {
            form method="post" action="/try/stock" {
                (Field::text("stock_sku", "SKU", &self.stock_sku).with_error(error("item_sku")))
                (Field::number("stock_quantity", "Units that are available", &self.stock_quantity)
                    .with_error(error("quantity")))
                p.hint { "Sets the number of units that can be ordered; what is reserved stays reserved." }
                button type="submit" { "Put in" }
            }
        }
    }
}

async fn put_stock(State(app): State<Arc<AppState>>, Form(form): Form<StockForm>) -> Response {
    let quantity = form.stock_quantity.trim().parse::<i64>();
    let put = match quantity {
        Ok(units) => set_stock(&app, form.stock_sku.trim(), units).await,
        Err(_) => Err(fields::refusal(shared_events::Service::Inventory, "quantity", "must be a whole number")),
    };
    let notice = match put {
        Ok(()) => {
            Notice::Done(html! { (form.stock_quantity.trim()) " units of " (form.stock_sku.trim()) " are in stock." })
        }
        Err(error) => Notice::Failed(error),
    };
    respond(&app, &notice, &OrderForm::default(), &form).await
}

/// Sets the number of available units.
async fn set_stock(app: &AppState, sku: &str, units: i64) -> Result<(), ClientError> {
    let body = json!({"item_sku": sku, "quantity": units});
    app.services.inventory.send::<serde_json::Value>(Method::POST, "/api/v1/stock/items", &body).await.map(drop)
}
