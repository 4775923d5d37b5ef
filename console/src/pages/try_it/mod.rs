//! Placing orders: one by a form, examples with one click, or many at once.

mod examples;
mod gateway;
mod many;
mod order_form;
mod place;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use self::{order_form::OrderForm, place::Outcome};
use super::{
    Page, fields,
    stock::{StockForm, set_stock},
};
use crate::{client::ClientError, layout, state::AppState};

pub(crate) use many::Placing;

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
    /// An order was refused, because this one has its idempotency key.
    KeyUsed(ClientError, i64),
}

impl Notice {
    fn render(&self) -> Markup {
        match self {
            Self::None => html! {},
            Self::Done(text) => html! { p.note role="status" { (text) } },
            Self::Failed(error) => layout::failure(error),
            Self::KeyUsed(error, order_id) => html! {
                (layout::failure(error))
                p.note {
                    a href=(format!("/orders/{order_id}?request=refused")) { "See the refusal on order " (order_id) }
                }
            },
        }
    }

    /// The status of a page that says this.
    fn status(&self) -> StatusCode {
        match self {
            Self::None | Self::Done(_) => StatusCode::OK,
            Self::Failed(error) | Self::KeyUsed(error, _) => error.page_status(),
        }
    }

    fn failure(&self) -> Option<&ClientError> {
        if let Self::Failed(error) | Self::KeyUsed(error, _) = self { Some(error) } else { None }
    }
}

async fn show(State(app): State<Arc<AppState>>) -> Response {
    respond(&app, &Notice::None, &OrderForm::default(), &examples::stock()).await
}

async fn respond(app: &AppState, notice: &Notice, order: &OrderForm, stock: &StockForm) -> Response {
    let content = html! {
        h1 { "Try it" }
        (notice.render())
        (examples::render())
        div.grid {
            section.card {
                h2 { "Put stock in" }
                (stock.render("/try/stock", "Put in", notice.failure()))
            }
            section.card {
                h2 { "Place an order" }
                (order.render(notice))
            }
            section.card #many {
                h2 { "Place many orders" }
                (many::render(&app.placing))
            }
            (gateway::section(app, notice).await)
        }
    };
    (notice.status(), layout::page(app, PAGE.path, PAGE.title, content)).into_response()
}

/// Leads to the page of the order, where one sees it go through the services, or what became of the same request.
async fn placed(app: &AppState, outcome: Result<Outcome, ClientError>, order: &OrderForm) -> Response {
    let notice = match outcome {
        Ok(Outcome::Placed(id)) => return Redirect::to(&format!("/orders/{id}")).into_response(),
        Ok(Outcome::Repeated(id)) => return Redirect::to(&format!("/orders/{id}?request=repeated")).into_response(),
        Ok(Outcome::KeyUsed(error, id)) => Notice::KeyUsed(error, id),
        Err(error) => Notice::Failed(error),
    };
    respond(app, &notice, order, &examples::stock()).await
}

async fn place_one(State(app): State<Arc<AppState>>, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let more_lines = fields.iter().any(|(name, _)| name == "add-line");
    let form = OrderForm::read(fields);
    if more_lines {
        return respond(&app, &Notice::None, &form.with_another_line(), &examples::stock()).await;
    }
    match form.check() {
        Ok(order) => placed(&app, place::place_once(&app.services.order, &order).await, &form).await,
        Err(error) => respond(&app, &Notice::Failed(error), &form, &examples::stock()).await,
    }
}

async fn put_stock(State(app): State<Arc<AppState>>, Form(form): Form<StockForm>) -> Response {
    let notice = match form.put(&app).await {
        Ok(()) => Notice::Done(html! { (form.stock_quantity.trim()) " units of " (form.sku()) " are in stock." }),
        Err(error) => Notice::Failed(error),
    };
    respond(&app, &notice, &OrderForm::default(), &form).await
}
