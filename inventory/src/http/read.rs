use axum::{
    Json,
    extract::{OriginalUri, State},
};
use serde::Deserialize;
use service_http::{ApiPath, ApiQuery, Limit, Page, Problem};
use shared_events::Sku;

use super::{routes::AppState, wire::ItemView};
use crate::{domain::StockItem, store};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    limit: Limit,
    after: Option<Sku>,
}

/// List the stock
///
/// Ascending by SKU, a page at a time; `Link: …; rel="next"` leads on.
#[utoipa::path(
    get, path = "/api/v1/stock", tag = "stock",
    params(
        ("limit" = Option<Limit>, Query),
        ("after" = Option<String>, Query, description = "only items behind this SKU"),
    ),
    responses((status = 200, body = [ItemView])),
)]
pub(super) async fn list(
    State(app): State<AppState>,
    OriginalUri(uri): OriginalUri,
    ApiQuery(List { limit, after }): ApiQuery<List>,
) -> Result<Page<ItemView>, Problem> {
    let items = store::page(&*app.database.list_reader().await?, after.as_ref(), limit.rows()).await?;
    Ok(Page::of_rows(&uri, limit, "stock_items", items))
}

/// Show the stock of an item
#[utoipa::path(
    get, path = "/api/v1/stock/{item_sku}", tag = "stock", params(("item_sku" = String, Path)),
    responses((status = 200, body = ItemView), (status = 404, description = "item not found")),
)]
pub(super) async fn show(State(app): State<AppState>, ApiPath(sku): ApiPath<Sku>) -> Result<Json<ItemView>, Problem> {
    found(store::item(&app.database.reader(), &sku).await?)
}

/// The same for an SKU that is also a word of the API.
pub(super) async fn show_named(State(app): State<AppState>, name: &'static str) -> Result<Json<ItemView>, Problem> {
    let item = match Sku::parse(name) {
        Ok(sku) => store::item(&app.database.reader(), &sku).await?,
        Err(_) => None,
    };
    found(item)
}

fn found(item: Option<StockItem>) -> Result<Json<ItemView>, Problem> {
    item.map(|item| Json(ItemView::from(&item))).ok_or_else(|| Problem::not_found("item not found"))
}
