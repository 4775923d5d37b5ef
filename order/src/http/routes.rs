use std::sync::Arc;

use axum::Router;
use shared_events::asyncapi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{commands, list, queries, refunds, state::AppState, stream, unsettled};

/// Returns the router of the order service.
pub(crate) fn routes(app: AppState) -> Router {
    let operations = app.context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(commands::place, list::list))
        .routes(routes!(stream::stream))
        .routes(routes!(queries::show))
        .routes(routes!(queries::events))
        .routes(routes!(commands::cancel))
        .routes(routes!(refunds::request, refunds::list))
        .routes(routes!(refunds::show))
        .routes(routes!(unsettled::list))
        .merge(service_http::document(
            "/asyncapi.json",
            "Get the AsyncAPI document of the events",
            asyncapi::document().to_string(),
        ))
        .with_state(Arc::new(app));
    operations.finish(
        "Order service",
        "Takes orders, collects the events of the other services about them, and reports their status.",
        routes,
    )
}
