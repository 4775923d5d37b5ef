use maud::{Markup, html};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared_events::Timestamp;

use super::rates::seconds;
use crate::{
    client::{ClientError, ServiceClient},
    layout,
    pages::is_page,
};

/// How many orders are shown.
const NEWEST: &str = "12";

/// What is shown of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    order_id: i64,
    status: String,
    items: Vec<Item>,
    amount: Box<RawValue>,
    currency: String,
    detail: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Item {
    item_sku: String,
    quantity: i64,
}

/// Reads the newest orders.
pub(super) async fn newest(order: &ServiceClient) -> Result<Vec<Order>, ClientError> {
    order.get("/api/v1/orders", &[("order", "desc"), ("limit", NEWEST)]).await
}

/// Renders them as a table.
pub(super) fn render(orders: &Result<Vec<Order>, ClientError>) -> Markup {
    let orders = match orders {
        Ok(orders) => orders,
        Err(error) => return layout::failure(error),
    };
    html! {
        @if orders.is_empty() {
            p { "There are no orders yet." @if is_page("/try") { " " a href="/try" { "Place the first one" } "." } }
        } @else {
            div.scroll {
                table {
                    caption { "The newest orders" }
                    thead {
                        tr {
                            th scope="col" { "order" }
                            th scope="col" { "status" }
                            th scope="col" { "items" }
                            th.number scope="col" { "amount" }
                            th scope="col" { "placed (UTC)" }
                            th.number scope="col" { "took" }
                        }
                    }
                    tbody { @for order in orders { (row(order)) } }
                }
            }
        }
    }
}

fn row(order: &Order) -> Markup {
    let time = order.created_at.to_string();
    let class = match order.status.as_str() {
        "CONFIRMED" => "status good",
        "FAILED" => "status bad",
        "CANCELLED" => "status soft",
        _ => "status wait",
    };
    let ended = class != "status wait";
    html! {
        tr {
            th scope="row" { (link(order.order_id)) }
            td { span class=(class) { (order.status) } @if let Some(detail) = &order.detail { " " span.soft { (detail) } } }
            td { (items(&order.items)) }
            td.number { (order.amount.get()) " " (order.currency) }
            td { time datetime=(time) { (time.get(11..19).unwrap_or(&time)) } }
            td.number { @if ended { (seconds(order.updated_at.since(order.created_at).as_secs_f64())) } @else { "…" } }
        }
    }
}

fn link(id: i64) -> Markup {
    html! { @if is_page("/orders") { a href={ "/orders/" (id) } { (id) } } @else { (id) } }
}

fn items(items: &[Item]) -> String {
    let shown = items.iter().take(3).map(|Item { item_sku, quantity }| format!("{quantity} × {item_sku}"));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if items.len() > 3 {
        text += &format!(" and {} more", items.len() - 3);
    }
    text
}
