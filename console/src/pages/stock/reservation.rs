use maud::{Markup, html};
use serde::Deserialize;
use shared_events::{Service, Timestamp};

use super::PAGE;
use crate::{
    client::ClientError,
    pages::{
        fields::{Field, order_id},
        paging::Listed,
    },
    sequence::Line,
    state::AppState,
    times::moment,
};

/// What inventory decided about the stock of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Reservation {
    reservation_id: i64,
    /// `HELD`, `SOLD`, `RELEASED`, `REJECTED` or `CANCELLED`.
    status: String,
    items: Vec<Line>,
    /// Why it was rejected.
    reason: Option<String>,
    rejected_sku: Option<String>,
    updated_at: Timestamp,
}

/// Returns the reservations of this order; `None` if no order is asked for.
pub(super) async fn fetch(app: &AppState, order: &str) -> Result<Option<Vec<Reservation>>, ClientError> {
    let Some(id) = order_id(Service::Inventory, order)? else { return Ok(None) };
    let found = Listed::get(&app.services.inventory, "/api/v1/reservations", &[("order_id", &id.to_string())]).await?;
    Ok(Some(found.rows))
}

/// Renders the form that asks for them, and what was found.
pub(super) fn render(order: &str, found: &Result<Option<Vec<Reservation>>, ClientError>) -> Markup {
    let wrong = found.as_ref().err().and_then(|error| error.field("order_id"));
    html! {
        form method="get" action=(PAGE.path) {
            (Field::number("order_id", "Order", order).with_error(wrong))
            button type="submit" { "Show its reservation" }
        }
        @if let Ok(Some(reservations)) = found {
            div.below role="status" {
                @for one in reservations { (details(one)) }
                @if reservations.is_empty() { p { "Nothing is reserved for order " (order.trim()) "." } }
            }
            p.below { a href=(format!("/orders/{}", order.trim())) { "Order " (order.trim()) } }
        }
    }
}

fn details(reservation: &Reservation) -> Markup {
    let class = match reservation.status.as_str() {
        "SOLD" => "status good",
        "HELD" => "status wait",
        _ => "status bad",
    };
    html! {
        dl {
            dt { "Reservation" } dd { (reservation.reservation_id) }
            dt { "Status" }
            dd {
                span class=(class) { (reservation.status) }
                @if let Some(reason) = &reservation.reason { " " span.soft { (reason) } }
                @if let Some(sku) = &reservation.rejected_sku { " " span.id { (sku) } }
            }
            dt { "Items" }
            dd {
                @for (index, line) in reservation.items.iter().enumerate() {
                    @if index > 0 { ", " }
                    (line.quantity) " × " span.id { (line.item_sku) }
                }
            }
            dt { "Since (UTC)" } dd { (moment(reservation.updated_at)) }
        }
    }
}
