//! Payments that were not captured, refunds that have not reached their end, and what to do about each.

use std::time::Duration;

use maud::{Markup, html};
use serde::Deserialize;
use shared_events::Timestamp;

use crate::{
    layout,
    pages::orders::fetch::Refund,
    sequence::Order,
    state::AppState,
    times::{duration, moment, now},
};

/// How many of each kind the page shows.
const LIMIT: &str = "50";

/// What the order service lists.
#[derive(Debug, Deserialize)]
struct Unsettled {
    captures: Vec<Order>,
    refunds: Vec<Refund>,
}

/// Returns the part of the page about captures and refunds that have failed, or have been open for longer than `age`.
pub(super) async fn section(app: &AppState, age: Duration) -> Markup {
    let (service, now) = (&app.services.order, now());
    let since = now.before(age).to_string();
    let found = service.get::<Unsettled>("/admin/unsettled", &[("limit", LIMIT), ("open_since", &since)]).await;
    match found {
        Ok(Unsettled { captures, refunds }) if captures.is_empty() && refunds.is_empty() => html! {
            section.card aria-label="Captures and refunds" { p.good { "No capture and no refund is overdue or failed." } }
        },
        Ok(found) => html! {
            @if !found.captures.is_empty() { (captures(&found.captures, now)) }
            @if !found.refunds.is_empty() { (refunds(&found.refunds)) }
        },
        Err(error) if error.is_not_found() => html! {
            p.hint {
                "The console may not list captures and refunds: start it and the order service with the same admin token."
            }
        },
        Err(error) => layout::failure(&error),
    }
}

fn captures(orders: &[Order], now: Timestamp) -> Markup {
    html! {
        section.card aria-labelledby="captures" {
            h2 #captures { "Confirmed and not captured" }
            table.stacked aria-label="Captures" {
                thead {
                    tr {
                        th scope="col" { "Order" }
                        th scope="col" { "Capture" }
                        th.number scope="col" { "Amount" }
                        th.number scope="col" { "Confirmed for" }
                        th scope="col" { "What to do" }
                    }
                }
                tbody {
                    @for order in orders {
                        @let failed = order.capture.as_deref() == Some("FAILED");
                        tr {
                            td data-label="Order" { a href=(format!("/orders/{}", order.order_id)) { (order.order_id) } }
                            td data-label="Capture" {
                                span class=(if failed { "status bad" } else { "status wait" }) {
                                    (order.capture.as_deref().unwrap_or("open"))
                                }
                            }
                            td.number data-label="Amount" { (order.amount.get()) " " (order.currency) }
                            td.number data-label="Confirmed for" { (duration(now.since(order.updated_at))) }
                            td data-label="What to do" { (capture_advice(failed)) }
                        }
                    }
                }
            }
        }
    }
}

fn capture_advice(failed: bool) -> &'static str {
    if failed {
        "The goods are sold, and the gateway refuses to take the amount: the payment of the order says why. It is not \
         tried again. Charge the customer in another way."
    } else {
        "If its payment is CAPTURING, the gateway does not answer, and is asked again. Otherwise OrderConfirmed may be \
         a dead letter of payment, or was lost; then it is repeated."
    }
}

fn refunds(refunds: &[Refund]) -> Markup {
    html! {
        section.card aria-labelledby="refunds" {
            h2 #refunds { "Refunds that are open or failed" }
            table.stacked aria-label="Refunds" {
                thead {
                    tr {
                        th scope="col" { "Order" }
                        th scope="col" { "Status" }
                        th.number scope="col" { "Amount" }
                        th scope="col" { "Requested (UTC)" }
                        th scope="col" { "What to do" }
                    }
                }
                tbody { @for refund in refunds { (refund_row(refund)) } }
            }
        }
    }
}

fn refund_row(refund: &Refund) -> Markup {
    let class = if refund.is_open() { "status wait" } else { "status bad" };
    html! {
        tr {
            td data-label="Order" { a href=(format!("/orders/{}", refund.order_id)) { (refund.order_id) } }
            td data-label="Status" {
                span class=(class) { (refund.status) }
                @if let Some(detail) = &refund.detail { " " span.soft { (detail) } }
            }
            td.number data-label="Amount" { (refund.amount.get()) " " (refund.currency) }
            td data-label="Requested (UTC)" { (moment(refund.created_at)) }
            td data-label="What to do" { (refund_advice(&refund.status)) }
        }
    }
}

fn refund_advice(status: &str) -> &'static str {
    match status {
        "FAILED" => "The customer has not got the amount. It can be requested again, at the page of the order.",
        "REQUESTED" => {
            "Its payment is not captured yet, or the gateway does not answer. The request is repeated: wait, and look \
             at the payment."
        }
        _ => "The money has gone back, and the goods have not: look for a dead letter of inventory.",
    }
}
