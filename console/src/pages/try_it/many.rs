use std::{ops::RangeInclusive, sync::Arc};

use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    PAGE, examples,
    fields::Field,
    place::{Item, NewOrder, place},
};
use crate::{
    client::ClientError,
    layout,
    runs::{Progress, Runs, Tally},
    state::AppState,
};

/// How many orders one run places at most.
const COUNT: RangeInclusive<u64> = 1..=100_000;
/// How many requests are open at the same time.
const AT_ONCE: usize = 32;

#[derive(Debug, Deserialize)]
pub(super) struct Many {
    many_sku: String,
    many_count: String,
    many_declined: String,
}

/// What became of the orders that a run places.
#[derive(Debug, Clone)]
pub(crate) struct Placing {
    total: u64,
    placed: u64,
    refused: u64,
    /// The last failure, in words.
    error: Option<String>,
}

impl Tally for Placing {
    type Outcome = Result<(), ClientError>;

    fn count(&mut self, outcome: Self::Outcome) -> bool {
        match &outcome {
            Ok(()) => self.placed += 1,
            Err(error) => {
                self.refused += 1;
                self.error = Some(error.to_string());
            }
        }
        outcome.is_ok()
    }
}

/// Starts to place many orders, each of one unit; some with an amount that the simulated gateway declines.
pub(super) async fn start(State(app): State<Arc<AppState>>, Form(many): Form<Many>) -> Response {
    let count = many.many_count.trim().parse().ok().filter(|count| COUNT.contains(count));
    let declined = many.many_declined.trim().parse::<u64>().ok().filter(|percent| *percent <= 100);
    let errors = Errors {
        sku: many.many_sku.trim().is_empty().then_some("must not be empty"),
        count: count.is_none().then_some("must be a whole number from 1 to 100000"),
        declined: declined.is_none().then_some("must be a whole number from 0 to 100"),
    };
    let (Some(count), Some(declined), None) = (count, declined, errors.sku) else {
        let form = html! { h1 { "Place many orders" } section.card { (form(&many, &errors)) } };
        return (StatusCode::UNPROCESSABLE_ENTITY, layout::page(&app, PAGE.path, PAGE.title, form)).into_response();
    };
    let sku = many.many_sku.trim().to_owned();
    let client = app.services.order.clone();
    let request = move |index: u64| {
        let (client, order) = (client.clone(), order(&sku, is_declined(index, declined)));
        async move { place(&client, &order).await.map(drop) }
    };
    let placing = Placing { total: count, placed: 0, refused: 0, error: None };
    if !app.placing.start(placing, stream::iter(0..count).map(request).buffer_unordered(AT_ONCE)) {
        let text = "Orders are being placed already. Stop that, or wait until it has ended.";
        return layout::error(StatusCode::CONFLICT, "One at a time", text);
    }
    Redirect::to("/try#many").into_response()
}

/// Spreads the declined orders evenly.
fn is_declined(index: u64, percent: u64) -> bool {
    (index + 1) * percent / 100 > index * percent / 100
}

fn order(sku: &str, declined: bool) -> NewOrder {
    let amount = if declined { "5000" } else { "10" };
    NewOrder {
        items: vec![Item { item_sku: sku.to_owned(), quantity: 1 }],
        amount: RawValue::from_string(amount.to_owned()).expect("a number is JSON"),
        currency: "USD".to_owned(),
        idempotency_key: None,
    }
}

/// Stops it.
pub(super) async fn stop(State(app): State<Arc<AppState>>) -> Response {
    app.placing.stop();
    Redirect::to("/try#many").into_response()
}

/// Returns how far it has come, for the part of the page that asks for it again and again.
pub(super) async fn progress(State(app): State<Arc<AppState>>) -> Markup {
    render(&app.placing)
}

/// Renders the form, or the progress of what is going on.
pub(super) fn render(runs: &Runs<Placing>) -> Markup {
    match runs.progress() {
        Some(progress) if !progress.ended => html! {
            div hx-get="/try/many" hx-trigger="load delay:500ms" hx-swap="outerHTML" {
                (bar(&progress))
                p.hint { "The page \"Now\" shows how they end." }
                form method="post" action="/try/many/stop" { button.danger type="submit" { "Stop" } }
                noscript { p { a href="/try#many" { "Load again" } " to see how far it is." } }
            }
        },
        last => {
            let default = Many {
                many_sku: examples::SKU.to_owned(),
                many_count: "1000".to_owned(),
                many_declined: "10".to_owned(),
            };
            html! {
                div {
                    @if let Some(progress) = &last { (bar(progress)) }
                    (form(&default, &Errors::default()))
                }
            }
        }
    }
}

fn bar(Progress { tally, ended, .. }: &Progress<Placing>) -> Markup {
    let Placing { total, placed, refused, error } = tally;
    html! {
        p role="status" {
            @if *ended && placed + refused < *total { "Stopped: " } @else if *ended { "Done: " }
            (placed) " of " (total) " orders are placed"
            @if *refused > 0 { ", " (refused) " were refused" }
            "."
        }
        progress max=(total) value=(placed + refused) aria-label="Orders placed" {}
        @if let (Some(error), true) = (error, *refused > 0) { p.problem role="alert" { (error) "." } }
    }
}

#[derive(Debug, Default)]
struct Errors {
    sku: Option<&'static str>,
    count: Option<&'static str>,
    declined: Option<&'static str>,
}

fn form(many: &Many, errors: &Errors) -> Markup {
    html! {
        form method="post" action="/try/many" {
            (Field::text("many_sku", "SKU", &many.many_sku).with_error(errors.sku))
            div.row {
                (Field::number("many_count", "Orders", &many.many_count).with_error(errors.count))
                (Field::number("many_declined", "Declined, %", &many.many_declined).with_error(errors.declined))
            }
            p.hint { "Each orders one unit. Without enough stock, the rest fail: put it in first." }
            button type="submit" { "Place them" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_declined_orders_is_the_percentage() {
        for percent in [0, 1, 10, 33, 100] {
            let declined = (0..1000).filter(|index| is_declined(*index, percent)).count() as u64;
            assert_eq!(declined, percent * 10);
        }
    }
}
