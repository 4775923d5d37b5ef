use maud::{Markup, html};
use serde::Deserialize;
use shared_events::{Service, Sku};

use super::{Asked, PAGE};
use crate::{
    client::{ClientError, path_segment},
    pages::{
        fields::{self, Field, refusal},
        paging::{self, Listed, address},
    },
    state::AppState,
};

/// The stock of an item in units, as inventory shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    item_sku: String,
    /// The available units.
    quantity: i64,
    reserved: i64,
    sold: i64,
    received: i64,
}

/// Returns the items that are asked for.
pub(super) async fn fetch(app: &AppState, asked: &Asked) -> Result<Listed<Item>, ClientError> {
    let inventory = &app.services.inventory;
    if asked.sku.trim().is_empty() {
        return Listed::get(inventory, "/api/v1/stock", &[("after", &asked.after)]).await;
    }
    let sku = Sku::parse(&asked.sku).map_err(|error| refusal(Service::Inventory, "sku", &error.to_string()))?;
    let rows = match inventory.get(&format!("/api/v1/stock/{}", path_segment(sku.as_str())), &[]).await {
        Ok(item) => vec![item],
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(Listed { rows, next: None })
}

/// Renders the form that asks for one item. `error` is why it was refused.
pub(super) fn filter(asked: &Asked, error: Option<&ClientError>) -> Markup {
    let wrong = error.and_then(|error| error.field("sku"));
    fields::filter(PAGE, "Filter the stock", &Field::text("sku", "SKU", &asked.sku).optional().with_error(wrong))
}

/// Renders the items, and what was just done to one of them.
pub(super) fn render(asked: &Asked, items: &Listed<Item>) -> Markup {
    html! {
        @if let ("set", [item]) = (asked.done.as_str(), items.rows.as_slice()) {
            p.note role="status" {
                "The stock of " span.id { (item.item_sku) } " is set. " (item.quantity) " units are available now."
            }
        }
        section.card aria-label="Items found" {
            @if items.rows.is_empty() { (nothing(asked)) } @else { (table(&items.rows)) }
            (paging::links("More items", PAGE.path, &[], &asked.after, items.next.as_deref()))
        }
    }
}

fn nothing(asked: &Asked) -> Markup {
    html! {
        @if !asked.sku.trim().is_empty() {
            p { "There is no item " span.id { (asked.sku) } "." }
        } @else if !asked.after.is_empty() {
            p { "There are no more items here." }
        } @else {
            p { "There are no items yet. Set the stock of one." }
        }
    }
}

fn table(items: &[Item]) -> Markup {
    html! {
        table.stacked {
            caption { "Items, in units" }
            thead {
                tr {
                    th scope="col" { "SKU" }
                    th.number scope="col" { "Available" }
                    th.number scope="col" { "Reserved" }
                    th.number scope="col" { "Sold" }
                    th.number scope="col" { "Received" }
                    th scope="col" { "Orders" }
                }
            }
            tbody { @for item in items { (row(item)) } }
        }
    }
}

fn row(item: &Item) -> Markup {
    let sku = [("sku", item.item_sku.as_str())];
    html! {
        tr {
            td data-label="SKU" { a.id href=(address(PAGE.path, &sku)) { (item.item_sku) } }
            td.number data-label="Available" { (item.quantity) }
            td.number data-label="Reserved" { (item.reserved) }
            td.number data-label="Sold" { (item.sold) }
            td.number data-label="Received" { (item.received) }
            td data-label="Orders" {
                a href=(address("/orders", &sku)) { "Orders" span.visually-hidden { " of " (item.item_sku) } }
            }
        }
    }
}
