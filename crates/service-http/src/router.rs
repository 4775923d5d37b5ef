use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower_http::{catch_panic::CatchPanicLayer, normalize_path::NormalizePath};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    Edge, MAX_BODY_BYTES,
    access::{Guarded, Requirements, authorize},
    audience::separate,
    edge, lists, openapi, problem_kind,
};

/// Completes a service's routes. Adds `/docs` and `/openapi.json`, accepts each path with and without a trailing slash,
/// and turns every error response into a [`Problem`](super::Problem) with its `instance`. This includes an unknown
/// path, a wrong method, a body that is too large, and a handler that panics.
///
/// The `type` of each problem leads to a page about it. On a listener that is not for all, some routes are unknown
/// paths: see [`Routes`](super::Routes).
///
/// Each route is open to the callers that its annotation names: see [`access`](super::access). `routes` must not have
/// trailing slashes.
///
/// # Panics
/// If a route's annotation does not say what it needs.
pub fn finish(title: &str, description: &str, routes: OpenApiRouter, edge: Edge) -> Router {
    let (routes, mut openapi) = routes.split_for_parts();
    debug_assert!(openapi.paths.paths.keys().all(|path| path == "/" || !path.ends_with('/')), "cannot be reached");
    let requirements = Requirements::of(&openapi).unwrap_or_else(|error| panic!("{title}: {error}"));
    let lists = Arc::new(lists::Lists::of(&openapi));
    openapi::complete(&mut openapi, title, description);
    let guarded =
        Guarded { access: edge.access.clone(), requirements: Arc::new(requirements), audit: edge.audit.clone() };
    // `ApiJson` checks the limit by itself; this one is for other body extractors.
    let routes = routes
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(lists, lists::pace))
        .layer(middleware::from_fn_with_state(guarded, authorize))
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(middleware::from_fn(separate))
        .layer(middleware::from_fn(edge::name_route));
    // Swagger UI stays outside, because it needs the slash of `/docs/` and redirects to it.
    let router = Router::from(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .layer(middleware::from_fn(separate))
        .merge(problem_kind::pages())
        .fallback_service(NormalizePath::trim_trailing_slash(routes))
        .layer(CatchPanicLayer::custom(edge::panicked));
    let router = match edge.browsers.cors() {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(edge, edge::guard))
}

#[cfg(test)]
mod tests;
