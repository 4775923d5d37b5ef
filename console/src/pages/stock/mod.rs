//! The stock of the items, how many units are available, and what is reserved for an order.

mod form;
mod list;
mod reservation;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Page, paging::address};
use crate::{client::ClientError, layout, state::AppState};

pub(in crate::pages) use form::{StockForm, set_stock};

/// The page.
pub(super) const PAGE: Page = Page { path: "/stock", title: "Stock", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PAGE.path, get(show).post(set))
}

/// What the forms ask for. A field that is left empty asks for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    sku: String,
    order_id: String,
    /// Only items with a greater SKU.
    after: String,
    /// `set` after the stock of `sku` was set.
    done: String,
}

async fn show(State(app): State<Arc<AppState>>, Query(asked): Query<Asked>) -> Response {
    let form = StockForm { stock_sku: asked.sku.clone(), ..StockForm::default() };
    respond(&app, &asked, &form, None).await
}

/// Sets the stock of an item, and leads to it.
async fn set(State(app): State<Arc<AppState>>, Form(form): Form<StockForm>) -> Response {
    match form.put(&app).await {
        Ok(()) => Redirect::to(&address(PAGE.path, &[("sku", form.sku()), ("done", "set")])).into_response(),
        Err(error) => respond(&app, &Asked::default(), &form, Some(&error)).await,
    }
}

/// Returns the page. `failed` is why the stock was not set.
async fn respond(app: &AppState, asked: &Asked, form: &StockForm, failed: Option<&ClientError>) -> Response {
    let found = list::fetch(app, asked).await;
    let reserved = reservation::fetch(app, &asked.order_id).await;
    let refused =
        [found.as_ref().err(), reserved.as_ref().err()].into_iter().flatten().find(|error| error.is_refused());
    let status = match (failed, refused) {
        (Some(error), _) => error.page_status(),
        (None, Some(error)) => error.page_status(),
        (None, None) => StatusCode::OK,
    };
    // One message is enough if the service is down.
    let list_failed = found.as_ref().err().filter(|_| failed.is_none());
    let reservation_failed = reserved.as_ref().err().filter(|_| failed.is_none() && list_failed.is_none());
    let content = html! {
        h1 { "Stock" }
        @for error in [failed, list_failed, reservation_failed].into_iter().flatten() { (layout::failure(error)) }
        (list::filter(asked, found.as_ref().err()))
        div.with-aside {
            div { @if let Ok(items) = &found { (list::render(asked, items)) } }
            div {
                (section("Set the stock of an item", &form.render(PAGE.path, "Set", failed)))
                (section("Stock of an order", &reservation::render(&asked.order_id, &reserved)))
            }
        }
    };
    (status, layout::page(app, PAGE.path, PAGE.title, content)).into_response()
}

fn section(title: &str, content: &Markup) -> Markup {
    html! { section.card { h2 { (title) } (content) } }
}
