//! One order.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::SystemTime,
};

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use shared_events::Timestamp;

use super::{
    PAGE,
    details::{content, elsewhere, facts, refunds, summary},
    fetch::{self, Found, Refund},
};
use crate::{
    layout,
    sequence::{Diagram, Order, RepeatedRequest, Saga, list, svg},
    state::AppState,
    times::duration,
};

/// How often the page of a running order asks for what is new, in seconds.
const FAST: u64 = 1;
/// The same for an order that is older than [`OLD`], or if a service cannot be reached.
const SLOW: u64 = 5;
/// Age in seconds from which an order is not expected to end at any moment.
const OLD: u64 = 60;

/// How one came to the page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Arrival {
    /// `repeated` or `refused`: a request with the key of this order was just made again.
    request: Option<String>,
    /// The state that the page shows.
    seen: Option<String>,
}

impl Arrival {
    fn repeated(&self) -> Option<RepeatedRequest> {
        match self.request.as_deref() {
            Some("repeated") => Some(RepeatedRequest::SameContent),
            Some("refused") => Some(RepeatedRequest::OtherContent),
            _ => None,
        }
    }
}

/// The part of the page that changes while the order is running.
struct View {
    body: Markup,
    /// The order's state in one sentence.
    headline: String,
    /// After how many seconds there may be more to show; `None` if nothing is left to happen.
    refresh: Option<u64>,
}

pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    Path(order_id): Path<String>,
    Query(arrival): Query<Arrival>,
) -> Response {
    let Ok(id) = order_id.parse::<i64>() else { return unknown(&app, &order_id) };
    let Some(view) = view(&app, id, &arrival).await else { return unknown(&app, &order_id) };
    let content = html! {
        h1 { "Order " (id) }
        p #order-headline role="status" { (view.headline) }
        (live_part(id, &arrival, &view))
    };
    layout::page(&app, PAGE.path, &format!("Order {id}"), content).into_response()
}

/// The part that changes, or 204 if the page shows it already.
pub(super) async fn live(
    State(app): State<Arc<AppState>>,
    Path(id): Path<i64>,
    Query(arrival): Query<Arrival>,
) -> Response {
    let Some(view) = view(&app, id, &arrival).await else { return unknown(&app, &id.to_string()) };
    if arrival.seen.as_deref() == Some(view.fingerprint().as_str()) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let changed = html! {
        (live_part(id, &arrival, &view))
        div hx-swap-oob="innerHTML:#order-headline" { (view.headline) }
    };
    changed.into_response()
}

/// Says that there is no such order.
pub(super) fn unknown(app: &AppState, id: &str) -> Response {
    let content = html! {
        h1 { "There is no order " (id) }
        p { "The order service does not know it. " a href="/orders" { "All orders" } "." }
    };
    (StatusCode::NOT_FOUND, layout::page(app, PAGE.path, "No such order", content)).into_response()
}

/// Returns what there is to show of the order, or `None` if there is no such order.
async fn view(app: &AppState, id: i64, arrival: &Arrival) -> Option<View> {
    match fetch::saga(app, id).await {
        Ok(found) => Some(View::of(found, arrival)),
        Err(error) if error.is_not_found() => None,
        Err(error) => {
            let headline = "What became of it is not known at the moment.".to_owned();
            Some(View { body: layout::failure(&error), headline, refresh: Some(SLOW) })
        }
    }
}

impl View {
    fn of(Found { saga, refunds: refunded, errors }: Found, arrival: &Arrival) -> Self {
        let (saga, left_out) = Saga { repeated: arrival.repeated(), ..saga }.abridged();
        let diagram = Diagram::of(&saga);
        let headline = headline(&saga.order, &diagram);
        let body = html! {
            @for error in &errors { (layout::failure(error)) }
            @if let Some(waits_for) = diagram.waits_for { p.note { (waits_for) } }
            div.with-aside {
                div {
                    section.card aria-labelledby="happened" {
                        h2 #happened { "What happened" }
                        (svg(&diagram, &format!("{headline} The list below the drawing says the same.")))
                        @if left_out > 0 {
                            p.hint { (left_out) " events that changed nothing are left out." }
                        }
                        (list(&diagram, |index| content(&saga, index)))
                    }
                    (facts(&saga))
                }
                div { (summary(&saga, &diagram)) (refunds(&refunded)) (elsewhere(&saga)) }
            }
        };
        // The order was read before the timeline, which may tell of its end already.
        let is_open = refunded.iter().any(Refund::is_open);
        let running = is_open || !diagram.is_settled() || !saga.order.status.is_terminal() || !errors.is_empty();
        let refresh = running.then(|| if age(saga.order.created_at) > OLD { SLOW } else { FAST });
        Self { body, headline, refresh }
    }

    /// Returns a text that is different for each state that can be shown.
    fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.body.0, &self.headline, self.refresh).hash(&mut hasher);
        format!("{:x}", hasher.finish())
    }
}

/// Returns the part that htmx replaces, as long as there may be more to show.
fn live_part(id: i64, arrival: &Arrival, view: &View) -> Markup {
    let request = arrival.repeated().and(arrival.request.as_ref()).map(|request| format!("&request={request}"));
    let url = format!("/orders/{id}/live?seen={}{}", view.fingerprint(), request.unwrap_or_default());
    let trigger = view.refresh.map(|seconds| format!("every {seconds}s"));
    html! {
        div #order-live hx-get=[trigger.as_ref().map(|_| url)] hx-trigger=[trigger.as_ref()]
            hx-swap=[trigger.as_ref().map(|_| "outerHTML")] { (view.body) }
    }
}

fn headline(order: &Order, diagram: &Diagram) -> String {
    match diagram.ended {
        Some((status, at)) => {
            let why = order.detail.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
            format!("It is {status}{why}, after {}.", duration(at.since(order.created_at)))
        }
        None => format!("It is {} and still running.", order.status),
    }
}

/// Returns how old the order is, in seconds, by the clock of the console.
fn age(placed: Timestamp) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(now).since(placed).as_secs()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_that_ended_while_it_was_read_is_asked_for_again() {
        let refresh = |status: &str| {
            let order = json!({
                "order_id": 1, "status": status, "payment_status": "FAILED",
                "items": [{"item_sku": "A", "quantity": 1}], "amount": 1000, "currency": "USD",
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:01Z",
            });
            let entry = |number: u128, event: &str, source: &str| {
                json!({
                    "event": event, "source": source, "message_id": uuid::Uuid::from_u128(number), "changed": "",
                    "time": "2026-01-01T00:00:01Z", "recorded_at": "2026-01-01T00:00:01Z",
                })
            };
            let timeline = json!([
                entry(1, "OrderCreated", "order"),
                entry(2, "StockReserved", "inventory"),
                entry(3, "PaymentFailed", "payment"),
                entry(4, "StockReleased", "inventory"),
                entry(5, "OrderFailed", "order"),
            ]);
            let saga = Saga {
                order: serde_json::from_value(order).unwrap(),
                timeline: serde_json::from_value(timeline).unwrap(),
                reservation: None,
                payment: None,
                repeated: None,
            };
            View::of(Found { saga, refunds: Vec::new(), errors: Vec::new() }, &Arrival::default()).refresh
        };
        assert_eq!((refresh("COMPENSATING"), refresh("FAILED")), (Some(SLOW), None));
    }
}
