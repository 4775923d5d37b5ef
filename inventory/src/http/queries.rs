use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Limit, Page, Problem, access::Scope};
use shared_events::Sku;

use super::{state::AppState, wire::ItemView};
use crate::{domain::StockItem, store};

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
    get, path = "/api/v1/stock", tag = "stock", security(("bearer" = [Scope::StockRead])),
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
    get, path = "/api/v1/stock/{item_sku}", tag = "stock", security(("bearer" = [Scope::StockRead])),
    params(("item_sku" = String, Path)),
    responses((status = 200, body = ItemView), (status = 404, description = "item not found")),
)]
pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    ApiPath(sku): ApiPath<Sku>,
) -> Result<Json<ItemView>, Problem> {
    found(store::item(&app.context.database.reader(), &sku).await?)
}

/// Show the stock of the item `items`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/items", tag = "stock", security(("bearer" = [Scope::StockRead])),
    responses((status = 200, body = ItemView), (status = 404, description = "item not found")),
)]
pub(super) async fn show_items(State(app): State<Arc<AppState>>) -> Result<Json<ItemView>, Problem> {
    show_named(&app, "items").await
}

/// Show the stock of the item `reserve`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/reserve", tag = "stock", security(("bearer" = [Scope::StockRead])),
    responses((status = 200, body = ItemView), (status = 404, description = "item not found")),
)]
pub(super) async fn show_reserve(State(app): State<Arc<AppState>>) -> Result<Json<ItemView>, Problem> {
    show_named(&app, "reserve").await
}

/// Show the stock of the item `release`
///
/// This item has a route of its own, because its SKU is also the name of a command.
#[utoipa::path(
    get, path = "/api/v1/stock/release", tag = "stock", security(("bearer" = [Scope::StockRead])),
    responses((status = 200, body = ItemView), (status = 404, description = "item not found")),
)]
pub(super) async fn show_release(State(app): State<Arc<AppState>>) -> Result<Json<ItemView>, Problem> {
    show_named(&app, "release").await
}

async fn show_named(app: &AppState, name: &str) -> Result<Json<ItemView>, Problem> {
    let item = match Sku::parse(name) {
        Ok(sku) => store::item(&app.context.database.reader(), &sku).await?,
        Err(_) => None,
    };
    found(item)
}

fn found(item: Option<StockItem>) -> Result<Json<ItemView>, Problem> {
    item.map(|item| Json(ItemView::from(&item))).ok_or_else(|| Problem::not_found("item not found"))
}
