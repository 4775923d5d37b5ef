use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::StatusCode, middleware, response::Response, routing::get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    assets, layout,
    pages::PAGES,
    security::{self, refuse_cross_site, refuse_foreign_hosts, require_login, set_headers},
    state::AppState,
};

/// The size of a form, in bytes, above which it is refused.
const MAX_FORM: usize = 64 * 1024;

/// Returns the router of the console.
pub(crate) fn routes(app: Arc<AppState>) -> Router {
    let pages = PAGES.iter().fold(Router::new(), |router, page| router.merge((page.routes)()));
    let with_login = pages
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), require_login));
    Router::new()
        .route("/health", get(async || "ok"))
        .route("/assets/{hash}/{name}", get(assets::serve))
        .merge(security::routes())
        .merge(with_login)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(middleware::from_fn(refuse_cross_site))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), refuse_foreign_hosts))
        .layer(middleware::from_fn(set_headers))
        .with_state(app)
}

async fn unknown() -> Response {
    layout::error(StatusCode::NOT_FOUND, "There is no such page", "The address is wrong, or the page is gone.")
}

async fn wrong_method() -> Response {
    layout::error(StatusCode::METHOD_NOT_ALLOWED, "Not like this", "This address does not answer to this method.")
}

fn panicked() -> Response {
    tracing::error!("a page of the console failed unexpectedly");
    layout::error(StatusCode::INTERNAL_SERVER_ERROR, "The page failed", "That is a bug; the log has more about it.")
}
