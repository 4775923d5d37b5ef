//! Makes what the services say about an order from its story.

use serde_json::{Value, json};
use shared_events::{EventType, Timestamp};
use uuid::Uuid;

use super::super::{
    data::{Entry, Order, Payment, RepeatedRequest, Reservation, Saga},
    history::History,
    model::Diagram,
};

/// The time `millis` after the order was placed, and the same for halves.
pub(super) fn at(millis: f64) -> Timestamp {
    #[allow(clippy::cast_possible_truncation, reason = "some seconds")]
    Timestamp::from_unix_micros(1_763_800_000_000_000 + (millis * 1_000.0) as i64)
}

/// A story of an order: what was published, learnt and stored.
pub(super) struct Story {
    pub(super) name: &'static str,
    order: Value,
    timeline: Vec<Entry>,
    reservation: Option<Reservation>,
    payment: Option<Payment>,
    repeated: Option<RepeatedRequest>,
}

/// Returns the id of an event: of the first of its type, of the second …
fn id(event: EventType, number: u128) -> Uuid {
    Uuid::from_u128(1_000 * (event as u128 + 1) + number)
}

impl Story {
    /// An order that was just placed.
    pub(super) fn placed(name: &'static str) -> Self {
        let order = json!({
            "order_id": 42, "payment_status": "PENDING", "items": [{"item_sku": "SKU-ABC", "quantity": 2}],
            "amount": 200, "currency": "USD", "created_at": at(0.0),
        });
        let story = Self { name, order, timeline: Vec::new(), reservation: None, payment: None, repeated: None };
        story.publishes(EventType::OrderCreated, None, 0.0)
    }

    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(super) fn with(mut self, field: &str, value: Value) -> Self {
        self.order[field] = value;
        self
    }

    /// The order service publishes an event, caused by the latest one of another type, or by a request.
    pub(super) fn publishes(self, event: EventType, cause: Option<EventType>, millis: f64) -> Self {
        self.add(event, cause, millis, millis, "status is …")
    }

    /// The order service learns an event that happened at `sent`.
    pub(super) fn learns(self, event: EventType, cause: EventType, sent: f64, arrived: f64, changed: &str) -> Self {
        self.add(event, Some(cause), sent, arrived, changed)
    }

    /// Sets what the last event says besides the order.
    pub(super) fn saying(mut self, data: Value) -> Self {
        self.timeline.last_mut().unwrap().data = Some(data);
        self
    }

    fn add(mut self, event: EventType, cause: Option<EventType>, sent: f64, arrived: f64, changed: &str) -> Self {
        let count =
            |event: EventType| self.timeline.iter().filter(|entry| entry.event == event.to_string()).count() as u128;
        let (message_id, client) = (id(event, count(event)), Uuid::from_u128(7));
        let causation_id = Some(cause.map_or(client, |cause| id(cause, count(cause).saturating_sub(1))));
        self.timeline.push(Entry {
            event: event.to_string(),
            source: event.flow().publisher.name().to_owned(),
            message_id,
            time: at(sent),
            recorded_at: at(arrived),
            changed: changed.to_owned(),
            causation_id,
            data: None,
            traceparent: None,
        });
        self
    }

    pub(super) fn reservation(mut self, status: &str, made: f64, changed: f64) -> Self {
        let (created_at, updated_at) = (at(made), at(changed));
        self.reservation = Some(Reservation { reservation_id: 7, status: status.to_owned(), created_at, updated_at });
        self
    }

    pub(super) fn payment(mut self, status: &str, made: f64, changed: f64) -> Self {
        let (created_at, updated_at) = (at(made), at(changed));
        self.payment = Some(Payment { payment_id: 9, status: status.to_owned(), created_at, updated_at });
        self
    }

    pub(super) fn repeated(mut self, repeated: RepeatedRequest) -> Self {
        self.repeated = Some(repeated);
        self
    }

    /// Removes the causation ids, which events of earlier versions do not have.
    pub(super) fn without_causes(mut self) -> Self {
        self.timeline.iter_mut().for_each(|entry| entry.causation_id = None);
        self
    }

    pub(super) fn saga(&self) -> Saga {
        let mut order = self.order.clone();
        order["updated_at"] = json!(self.timeline.last().unwrap().recorded_at);
        order["status"] = json!("PENDING");
        let parse = |order: &Value| serde_json::from_str::<Order>(&order.to_string()).unwrap();
        let saga = |order| Saga {
            order,
            timeline: self.timeline.clone(),
            reservation: self.reservation.clone(),
            payment: self.payment.clone(),
            repeated: self.repeated,
        };
        let status = History::of(&saga(parse(&order))).now().status();
        order["status"] = json!(status.as_str());
        saga(parse(&order))
    }

    pub(super) fn diagram(&self) -> Diagram {
        Diagram::of(&self.saga())
    }
}
