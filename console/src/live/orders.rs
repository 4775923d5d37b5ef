use maud::{Markup, html};

use crate::{
    client::{ClientError, ServiceClient},
    layout,
    pages::{badge, heads, items},
    sequence::Order,
    times::duration,
};

/// How many orders are shown.
const NEWEST: &str = "12";

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
            p { "There are no orders yet. " a href="/try" { "Place the first one" } "." }
        } @else {
            div.scroll {
                table {
                    caption { "The newest orders" }
                    thead {
                        (heads())
                    }
                    tbody { @for order in orders { (row(order)) } }
                }
            }
        }
    }
}

fn row(order: &Order) -> Markup {
    let time = order.created_at.to_string();
    html! {
        tr {
            th scope="row" { a href={ "/orders/" (order.order_id) } { (order.order_id) } }
            td { (badge(order.status)) @if let Some(detail) = &order.detail { " " span.soft { (detail) } } }
            td { (items(&order.items)) }
            td.number { (order.amount.get()) " " (order.currency) }
            td { time datetime=(time) { (time.get(11..19).unwrap_or(&time)) } }
            td.number {
                @if order.status.is_terminal() {
                    (duration(order.updated_at.since(order.created_at)))
                } @else {
                    "running"
                }
            }
        }
    }
}
