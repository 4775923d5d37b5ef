use std::sync::Arc;

use axum::Router;
use shared_events::asyncapi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{commands, queries, reservations, state::AppState};

/// Returns the router of the inventory service.
pub(crate) fn routes(app: AppState) -> Router {
    let operations = app.context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(commands::set_stock, queries::show_items))
        .routes(routes!(commands::reserve, queries::show_reserve))
        .routes(routes!(commands::release, queries::show_release))
        .routes(routes!(queries::list))
        .routes(routes!(queries::show))
        .merge(service_http::document(
            "/asyncapi.json",
            "Get the AsyncAPI document of the events",
            asyncapi::document().to_string(),
        ))
        .routes(routes!(reservations::list))
        .routes(routes!(reservations::show))
        .with_state(Arc::new(app));
    operations.finish("Inventory service", "Holds, sells and releases stock.", routes)
}
