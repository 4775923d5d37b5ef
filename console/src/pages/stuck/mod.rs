//! The orders that have been open for longer than usual, and what each of them waits for; captures and refunds that
//! are overdue or have failed.

mod fetch;
mod show;
mod unsettled;
mod waits;

use std::sync::Arc;

use axum::{Router, routing::get};

use super::Page;
use crate::state::AppState;

/// The page.
pub(super) const PAGE: Page = Page { path: "/stuck", title: "Stuck", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PAGE.path, get(show::show))
}
