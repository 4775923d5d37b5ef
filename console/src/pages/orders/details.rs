//! The parts of the page of one order around its diagram.

use maud::{Markup, html};
use shared_events::facts::{Cancel, Capture, Facts, Status};

use super::{badge, fetch::Refund};
use crate::{
    sequence::{Diagram, Entry, History, Order, Saga},
    times::{duration, moment},
};

/// Returns what was ordered, and how it ended.
pub(super) fn summary(saga: &Saga, diagram: &Diagram) -> Markup {
    let order = &saga.order;
    html! {
        section.card aria-labelledby="summary" {
            h2 #summary { "Order" }
            dl {
                dt { "Status" }
                dd {
                    (badge(order.status)) @if let Some(detail) = &order.detail { ", " (detail) }
                }
                dt { "Payment" }
                dd { (order.payment_status) @if let Some(capture) = &order.capture { ", capture: " (capture) } }
                dt { "Amount" } dd { (order.amount.get()) " " (order.currency) }
                @if let Some(refunded) = &order.refunded_amount {
                    dt { "Refunded" } dd { (refunded.get()) " " (order.currency) }
                }
                dt { "Lines" }
                dd {
                    ul.plain {
                        @for line in &order.items { li { (line.quantity) " × " span.id { (line.item_sku) } } }
                    }
                }
                dt { "Placed" } dd { (moment(order.created_at)) " UTC" }
                @if let Some((_, at)) = diagram.ended {
                    dt { "Took" } dd { (duration(at.since(order.created_at))) }
                }
                @if let Some(trace) = trace_id(saga) {
                    dt { "Trace" }
                    dd { span.id { (trace) } " " span.soft { "Search for it in your tracing system." } }
                }
            }
            @if order.status == Status::Confirmed {
                p.below { a #refund .button href=(format!("/orders/{}/refund", order.order_id)) { "Refund the order" } }
            }
            @if order.status == Status::Pending {
                p.below { a #cancel .button.danger href=(format!("/orders/{}/cancel", order.order_id)) { "Cancel the order" } }
            }
        }
    }
}

/// Returns the id of the order's trace, from the W3C Trace Context of its first event that has one.
fn trace_id(saga: &Saga) -> Option<&str> {
    let traceparent = saga.timeline.iter().find_map(|entry| entry.traceparent.as_deref())?;
    traceparent.split('-').nth(1)
}

/// Returns the refunds of the order, if there are any.
pub(super) fn refunds(refunds: &[Refund]) -> Markup {
    html! {
        @if !refunds.is_empty() {
            section.card aria-labelledby="refunds" {
                h2 #refunds { "Refunds" }
                ul.plain {
                    @for refund in refunds {
                        li {
                            span.status { (refund.status) } " " (refund.amount.get()) " " (refund.currency)
                            ", " (moment(refund.created_at)) " UTC"
                            @if let Some(detail) = &refund.detail { ", " (detail) }
                            @if refund.restocked { ", goods are back in stock" }
                            @else if refund.restock && refund.is_open() { ", goods come back" }
                            @if let Some(reason) = &refund.reason { ": " (reason) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns what inventory and payment have stored.
pub(super) fn elsewhere(saga: &Saga) -> Markup {
    html! {
        section.card aria-labelledby="elsewhere" {
            h2 #elsewhere { "Reservation and payment" }
            dl {
                dt { "Reservation" }
                dd {
                    @match &saga.reservation {
                        Some(one) => {
                            span.status { (one.status) } ", no. " (one.reservation_id) ", " (moment(one.updated_at)) " UTC"
                        }
                        None => { "none known" }
                    }
                }
                dt { "Payment" }
                dd {
                    @match &saga.payment {
                        Some(one) => {
                            span.status { (one.status) } ", no. " (one.payment_id) ", " (moment(one.updated_at)) " UTC"
                        }
                        None => { "none known" }
                    }
                }
            }
        }
    }
}

/// Returns the table of what the order has learnt, and the status that follows from it.
pub(super) fn facts(saga: &Saga) -> Markup {
    let history = History::of(saga);
    let changes = saga.timeline.iter().enumerate().filter(|(index, entry)| {
        *index == 0 || entry.changed.is_empty() || history.before(*index) != history.after[*index]
    });
    html! {
        section.card aria-labelledby="facts" {
            h2 #facts { "Facts and status" }
            p.hint { "The status is a function of the facts, in whatever order they are learnt." }
            table.stacked aria-labelledby="facts" {
                thead {
                    tr {
                        @for name in ["Learnt", "Event", "Stock", "Payment", "Cancel", "Status"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for (index, entry) in changes { (fact_row(&saga.order, entry, history.after[index])) }
                }
            }
        }
    }
}

fn fact_row(order: &Order, entry: &Entry, facts: Facts) -> Markup {
    let cancel = match facts.cancel {
        Cancel::No => "no".to_owned(),
        Cancel::Requested(reason) => format!("requested ({reason:?})").to_lowercase(),
    };
    html! {
        tr {
            td data-label="Learnt" { "+" (duration(entry.recorded_at.since(order.created_at))) }
            td data-label="Event" { (entry.event) @if entry.changed.is_empty() { " " span.soft { "(changes nothing)" } } }
            td data-label="Stock" { (facts.stock) }
            td data-label="Payment" {
                (facts.payment)
                @if facts.capture != Capture::Unknown { ", " (facts.capture) }
            }
            td data-label="Cancel" { (cancel) }
            td data-label="Status" { (badge(facts.status())) }
        }
    }
}

/// Returns the content of an event. It never changes, so htmx keeps it, opened or not, when the page is updated.
pub(super) fn content(saga: &Saga, index: usize) -> Markup {
    let Some(entry) = saga.timeline.get(index) else { return html! {} };
    let cause = entry.causation_id.map(|id| saga.timeline.iter().find(|one| one.message_id == id));
    let data = entry.data.as_ref().and_then(|data| serde_json::to_string_pretty(data).ok());
    html! {
        details.event id=(format!("event-{}", entry.message_id)) hx-preserve="true" {
            summary { "Content of " (entry.event) }
            dl {
                dt { "Id" } dd.id { (entry.message_id) }
                dt { "Caused by" }
                dd {
                    @match (entry.causation_id, cause.flatten()) {
                        (_, Some(cause)) => { (cause.event) " " span.id { (cause.message_id) } }
                        // An event of an earlier version has neither a cause nor content.
                        (None, None) if entry.data.is_none() => { "not recorded" }
                        (_, None) => { "a request, or the clock" }
                    }
                }
                dt { "Happened" } dd { (moment(entry.time)) " UTC, by the clock of " (entry.source) }
                dt { "Recorded" } dd { (moment(entry.recorded_at)) " UTC, by the clock of order" }
                @if let Some(data) = data { dt { "Data" } dd { pre { (data) } } }
            }
        }
    }
}
