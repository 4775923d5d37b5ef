//! The orders, newest first.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    PAGE, badge,
    fetch::{self, OrderPage},
    filter::{Cursor, Filter},
};
use crate::{
    client::ClientError,
    layout,
    sequence::{Line, Order},
    state::AppState,
    times::{duration, moment},
};

pub(super) async fn show(State(app): State<Arc<AppState>>, Query(filter): Query<Filter>) -> Response {
    let found = fetch::orders(&app, &filter).await;
    let refused = found.as_ref().err().filter(|error| matches!(error, ClientError::Refused { status: 422, .. }));
    let status = if refused.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let content = html! {
        h1 { "Orders" }
        div #orders {
            (filter.form(refused))
            @match &found {
                Ok(page) => { (orders(&filter, page)) },
                Err(error) => { (layout::failure(error)) },
            }
        }
    };
    (status, layout::page(&app, PAGE.path, PAGE.title, content)).into_response()
}

fn orders(filter: &Filter, page: &OrderPage) -> Markup {
    html! {
        section.card aria-label="Orders found" {
            @if page.orders.is_empty() { (nothing(filter, page)) } @else { (table(&page.orders)) }
            (paging(filter, page))
        }
    }
}

/// Says that there is nothing to show, and why.
fn nothing(filter: &Filter, page: &OrderPage) -> Markup {
    html! {
        @if page.older.is_some() && page.is_part {
            p { "None of the orders examined so far is one of these. There are more to examine." }
        } @else if filter.is_set() {
            p { "No order is one of these." }
        } @else if filter.cursor().is_some() {
            p { "There are no more orders here." }
        } @else {
            p { "There are no orders yet. " a href="/try" { "Place one" } "." }
        }
    }
}

fn table(orders: &[Order]) -> Markup {
    html! {
        table.stacked aria-label="Orders" {
            thead {
                (heads())
            }
            tbody { @for order in orders { (row(order)) } }
        }
    }
}

fn row(order: &Order) -> Markup {
    html! {
        tr {
            td data-label="Order" { a href=(format!("/orders/{}", order.order_id)) { (order.order_id) } }
            td data-label="Status" {
                (badge(order.status)) @if let Some(detail) = &order.detail { " " span.soft { (detail) } }
            }
            td data-label="Items" { (items(&order.items)) }
            td.number data-label="Amount" { (order.amount.get()) " " (order.currency) }
            td data-label="Placed (UTC)" { (moment(order.created_at)) }
            td.number data-label="Took" {
                @if order.status.is_terminal() { (duration(order.updated_at.since(order.created_at))) } @else { "running" }
            }
        }
    }
}

/// Renders the row of headings of a table of orders.
pub(crate) fn heads() -> Markup {
    html! {
        tr {
            th scope="col" { "Order" }
            th scope="col" { "Status" }
            th scope="col" { "Items" }
            th.number scope="col" { "Amount" }
            th scope="col" { "Placed (UTC)" }
            th.number scope="col" { "Took" }
        }
    }
}

/// Returns the first lines, and how many more there are.
pub(crate) fn items(items: &[Line]) -> Markup {
    html! {
        @for (index, line) in items.iter().take(3).enumerate() {
            @if index > 0 { ", " }
            (line.quantity) " × " span.id { (line.item_sku) }
        }
        @if items.len() > 3 { ", and " (items.len() - 3) " more" }
    }
}

fn paging(filter: &Filter, page: &OrderPage) -> Markup {
    html! {
        nav.actions aria-label="More orders" {
            @if let Some(newer) = page.newer {
                a.button.quiet rel="prev" href=(filter.link(Cursor::Before(newer))) { "Newer" }
            }
            @if let Some(older) = page.older {
                a.button.quiet rel="next" href=(filter.link(Cursor::After(older))) { "Older" }
            }
            @if filter.cursor().is_some() { a href="/orders" { "Newest" } }
        }
    }
}
