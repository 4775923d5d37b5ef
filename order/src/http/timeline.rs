use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;
use shared_events::{Lines, Money, OrderDetails, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

use super::wire::Item;
use crate::store::order_events;

/// An event in an order's timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    #[schema(example = "StockReserved")]
    event: String,
    /// The service that published it.
    #[schema(example = "inventory")]
    source: String,
    message_id: Uuid,
    /// The `message_id` of the event that caused it; null if it was caused by a request or a deadline, or by an event
    /// that is not in this timeline (yet), or if the entry is from an earlier version.
    #[schema(required)]
    causation_id: Option<Uuid>,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// When the order service published or received it.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    /// What it changed; empty if it changed nothing.
    #[schema(example = "stock is reserved")]
    changed: String,
    /// The content of the event; null if the entry is from an earlier version.
    #[schema(required)]
    data: Option<EventData>,
    /// The trace context of the event (W3C Trace Context): the part after the first dash is the id of its trace.
    /// Missing if the event belongs to no trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    traceparent: Option<String>,
}

/// The content of an event, as it was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventData {
    #[schema(example = 1)]
    order_id: i64,
    #[schema(value_type = Vec<Item>)]
    lines: Lines,
    /// In minor units, with the ISO 4217 code.
    #[schema(value_type = Object, example = json!({"minor_units": 20000, "currency": "USD"}))]
    total: Money,
    /// Why something failed or was cancelled, if the event says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "INSUFFICIENT_STOCK")]
    reason: Option<String>,
    /// The item that could not be reserved, if the event says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "SKU-ABC")]
    item_sku: Option<String>,
    /// The refund that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    refund: Option<Box<RawValue>>,
}

impl TimelineEntry {
    /// Returns the timeline of an order. Without the order, because its row cannot be read, it has no content.
    pub(super) fn of_order(order: Option<&OrderDetails>, rows: Vec<order_events::Model>) -> Vec<Self> {
        let events: HashSet<Uuid> = rows.iter().map(|row| row.message_id).collect();
        rows.into_iter().map(|row| Self::new(order, row, &events)).collect()
    }

    fn new(order: Option<&OrderDetails>, row: order_events::Model, events: &HashSet<Uuid>) -> Self {
        // A row of an earlier version does not tell its reason.
        let order = order.filter(|_| row.causation_id.is_some());
        Self {
            event: row.event,
            source: row.source,
            message_id: row.message_id,
            causation_id: row.causation_id.filter(|cause| events.contains(cause)),
            time: Timestamp::from_unix_micros(row.happened_at),
            recorded_at: Timestamp::from_unix_micros(row.recorded_at),
            changed: row.changed,
            traceparent: row.traceparent,
            data: order.map(|order| EventData {
                order_id: order.order_id.0,
                lines: order.lines.clone(),
                total: order.total,
                reason: row.reason,
                item_sku: row.item_sku,
                refund: row.refund.and_then(|refund| RawValue::from_string(refund).ok()),
            }),
        }
    }
}
