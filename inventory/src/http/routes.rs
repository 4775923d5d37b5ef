use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use service_host::service::Doors;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{change, read};
use crate::participant::Inventory;

/// What the handlers need.
pub(super) type Desk = Arc<Doors<Inventory>>;

/// The router of the inventory service.
pub(crate) fn routes(doors: Doors<Inventory>) -> Router {
    let operations = doors.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(change::set_stock))
        .routes(routes!(change::reserve))
        .routes(routes!(change::release))
        .routes(routes!(read::list))
        .routes(routes!(read::show))
        // These words of the API can be SKUs too, and what was put in stock can be read.
        .route("/api/v1/stock/items", get(async |desk| read::show_named(desk, "items").await))
        .route("/api/v1/stock/reserve", get(async |desk| read::show_named(desk, "reserve").await))
        .route("/api/v1/stock/release", get(async |desk| read::show_named(desk, "release").await))
        .with_state(Arc::new(doors));
    operations.finish("Inventory service", "Holds, sells and gives back stock.", routes)
}
