//! The entries of an order's timeline.

use shared_events::{Envelope, OrderId, Timestamp};

use crate::{
    domain::{Capture, Facts},
    store::{order_events, reason_name},
};

/// Returns the timeline entry of an event that the order service published or received.
pub(crate) fn timeline_row(id: OrderId, envelope: &Envelope, now: Timestamp, changed: String) -> order_events::Model {
    let body = &envelope.event.body;
    let event = body.event_type();
    order_events::Model {
        order_id: id.0,
        message_id: envelope.header.id.0,
        event: event.to_string(),
        source: event.flow().publisher.name().to_owned(),
        happened_at: envelope.header.time.unix_micros(),
        recorded_at: now.unix_micros(),
        changed,
        causation_id: Some(envelope.header.causation_id),
        reason: body.reason().map(|reason| reason_name(&reason)),
        item_sku: body.item_sku().map(|sku| sku.as_str().to_owned()),
        traceparent: envelope.header.traceparent.clone(),
        refund: body.refund().map(|refund| serde_json::to_string(refund).expect("a refund is plain JSON")),
    }
}

/// Describes what changed, such as `stock is reserved`; empty if nothing did.
pub(crate) fn what_changed(before: Facts, after: Facts) -> String {
    let mut changes = Vec::new();
    if before.stock != after.stock {
        changes.push(format!("stock is {}", after.stock));
    }
    if before.payment != after.payment {
        changes.push(format!("payment is {}", after.payment));
    }
    if before.status() != after.status() {
        changes.push(format!("status is {}", after.status()));
    }
    if before.capture != after.capture {
        let captured = after.capture == Capture::Captured;
        changes.push(if captured { "payment is captured" } else { "the capture has failed" }.to_owned());
    }
    changes.join(", ")
}
