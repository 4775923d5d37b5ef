use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use service_host::service::ServiceContext;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{change, read};
use crate::participant::Inventory;

/// What the handlers need.
pub(super) type AppState = Arc<ServiceContext<Inventory>>;

/// The router of the inventory service.
pub(crate) fn routes(context: ServiceContext<Inventory>) -> Router {
    let operations = context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(change::set_stock))
        .routes(routes!(change::reserve))
        .routes(routes!(change::release))
        .routes(routes!(read::list))
        .routes(routes!(read::show))
        // These words of the API can be SKUs too, and what was put in stock can be read.
        .route("/api/v1/stock/items", get(async |app| read::show_named(app, "items").await))
        .route("/api/v1/stock/reserve", get(async |app| read::show_named(app, "reserve").await))
        .route("/api/v1/stock/release", get(async |app| read::show_named(app, "release").await))
        .with_state(Arc::new(context));
    operations.finish("Inventory service", "Holds, sells and gives back stock.", routes)
}
