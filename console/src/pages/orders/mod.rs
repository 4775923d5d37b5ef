//! The orders, and one order: what happened to it, and what is still to come.

mod cancel;
mod details;
pub(super) mod fetch;
pub(super) mod filter;
mod list;
mod refund;
mod show;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use maud::{Markup, html};
use shared_events::facts::Status;

use super::Page;
use crate::state::AppState;

pub(crate) use list::{heads, items};

/// The page.
pub(super) const PAGE: Page = Page { path: "/orders", title: "Orders", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route(PAGE.path, get(list::show))
        .route("/orders/{order_id}", get(show::show))
        .route("/orders/{order_id}/live", get(show::live))
        .route("/orders/{order_id}/cancel", get(cancel::ask))
        .route("/orders/{order_id}/cancel", post(cancel::cancel))
        .route("/orders/{order_id}/refund", get(refund::ask))
        .route("/orders/{order_id}/refund", post(refund::request))
}

/// Returns the status with its colour.
pub(crate) fn badge(status: Status) -> Markup {
    let class = match status {
        Status::Confirmed => "good",
        Status::Failed | Status::Cancelled => "bad",
        Status::Pending | Status::Compensating => "wait",
    };
    html! { span class=(format!("status {class}")) { (status) } }
}
