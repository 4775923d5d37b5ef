use std::sync::Arc;

use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Known, Limit, Page, Problem, access::Scope};
use shared_events::Sku;

use super::{state::AppState, wire::ItemView};
use crate::store;

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    after: Option<Sku>,
}

/// List the stock
///
/// Ordered by SKU, one page at a time. `Link: …; rel="next"` leads to the next page.
#[utoipa::path(
    get, operation_id = "list_stock", path = "/api/v1/stock",
    tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<String>, Query, description = "only items with a greater SKU"),
    ),
    responses((status = 200, body = [ItemView])),
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after }): ApiQuery<List>,
) -> Result<Page<ItemView>, Problem> {
    let items = store::page(&*app.context.database.list_reader().await?, after.as_ref(), limit.rows()).await?;
    Ok(Page::of_rows(&uri, limit, "stock_items", items))
}

/// Show the stock of an item
#[utoipa::path(
    get, operation_id = "show_stock", path = "/api/v1/stock/{item_sku}",
    tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(
        ("item_sku" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, body = ItemView, headers(("ETag" = String, description = "for `If-Match` and `If-None-Match`"))),
        (status = 304, description = "the item is as in the earlier response"),
        (status = 404, description = "item not found"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    known: Known,
    ApiPath(sku): ApiPath<Sku>,
) -> Result<Response, Problem> {
    show_item(&app, &known, &sku).await
}

/// Show the stock of the item `items`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/items", tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response")),
    responses(
        (status = 200, body = ItemView, headers(("ETag" = String, description = "for `If-Match` and `If-None-Match`"))),
        (status = 304, description = "the item is as in the earlier response"),
        (status = 404, description = "item not found"),
    ),
)]
pub(super) async fn show_items(State(app): State<Arc<AppState>>, known: Known) -> Result<Response, Problem> {
    show_named(&app, &known, "items").await
}

/// Show the stock of the item `reserve`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/reserve", tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response")),
    responses(
        (status = 200, body = ItemView, headers(("ETag" = String, description = "for `If-Match` and `If-None-Match`"))),
        (status = 304, description = "the item is as in the earlier response"),
        (status = 404, description = "item not found"),
    ),
)]
pub(super) async fn show_reserve(State(app): State<Arc<AppState>>, known: Known) -> Result<Response, Problem> {
    show_named(&app, &known, "reserve").await
}

/// Show the stock of the item `release`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/release", tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(("If-None-Match" = Option<String>, Header, description = "the `ETag` of an earlier response")),
    responses(
        (status = 200, body = ItemView, headers(("ETag" = String, description = "for `If-Match` and `If-None-Match`"))),
        (status = 304, description = "the item is as in the earlier response"),
        (status = 404, description = "item not found"),
    ),
)]
pub(super) async fn show_release(State(app): State<Arc<AppState>>, known: Known) -> Result<Response, Problem> {
    show_named(&app, &known, "release").await
}

async fn show_named(app: &AppState, known: &Known, name: &str) -> Result<Response, Problem> {
    let sku = Sku::parse(name).map_err(|_| Problem::not_found("item not found"))?;
    show_item(app, known, &sku).await
}

async fn show_item(app: &AppState, known: &Known, sku: &Sku) -> Result<Response, Problem> {
    let item = store::item(&app.context.database.reader(), sku).await?;
    known.show(item.as_ref().map(ItemView::from), "item not found")
}
