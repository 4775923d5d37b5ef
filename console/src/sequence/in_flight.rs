//! What inventory and payment have done: from the events of theirs that the order service has recorded, and, for those
//! that are still on their way to it, from the reservation and the payment.

use std::collections::HashMap;

use shared_events::{
    EventBody, EventType, FailureReason, Service, Sku, Timestamp,
    facts::{Cancel, Facts, Payment as PaymentFact, Stock},
};
use uuid::Uuid;

use super::{
    data::{Entry, Saga},
    to_come::answer,
};

/// Returns for each entry of the timeline the index of the entry that caused it. If its causation id is not in the
/// timeline (events of earlier versions, or what the gateway caused), the latest event that it can be an answer to.
pub(crate) fn causes(saga: &Saga, bodies: &[Option<EventBody>]) -> Vec<Option<usize>> {
    let by_id: HashMap<Uuid, usize> =
        saga.timeline.iter().enumerate().map(|(index, entry)| (entry.message_id, index)).collect();
    let cause = |entry: &Entry| {
        let recorded = entry.causation_id.and_then(|cause| by_id.get(&cause).copied());
        recorded.or_else(|| {
            let publisher = entry.publisher().filter(|service| *service != Service::Order)?;
            let event = entry.event_type()?;
            let asked = |index: &usize| bodies[*index].as_ref().is_some_and(|body| answers(publisher, body, event));
            let earlier = |index: &usize| saga.timeline[*index].time <= entry.time;
            let asked: Vec<usize> = (0..bodies.len()).filter(asked).collect();
            asked.iter().copied().rfind(earlier).or_else(|| asked.first().copied())
        })
    };
    saga.timeline.iter().map(cause).collect()
}

/// Whether this service may answer `body` with `event`.
fn answers(service: Service, body: &EventBody, event: EventType) -> bool {
    match event {
        EventType::StockReservationFailed => service == Service::Inventory && *body == EventBody::OrderCreated,
        EventType::PaymentFailed => service == Service::Payment && *body == EventBody::StockReserved,
        EventType::PaymentRefundFailed => {
            service == Service::Payment && matches!(body, EventBody::RefundRequested { .. })
        }
        EventType::PaymentCaptureFailed => service == Service::Payment && *body == EventBody::OrderConfirmed,
        _ => answer(service, body).is_some_and(|answer| answer.event_type() == event),
    }
}

/// Returns when inventory or payment handled this event, from the state of the reservation or the payment. `None` if
/// they have not, or their state does not tell.
pub(crate) fn handled_by_state(saga: &Saga, to: Service, body: &EventBody) -> Option<Timestamp> {
    match to {
        Service::Order => None,
        Service::Inventory => {
            let reservation = saga.reservation.as_ref()?;
            match (body, reservation.status.as_str()) {
                (EventBody::OrderCreated, "HELD" | "SOLD" | "RELEASED" | "REJECTED") => Some(reservation.created_at),
                (EventBody::OrderConfirmed, "SOLD") => Some(reservation.updated_at),
                (EventBody::PaymentFailed { .. } | EventBody::OrderCancelRequested { .. }, "RELEASED") => {
                    Some(reservation.updated_at)
                }
                (EventBody::OrderCancelRequested { .. }, "CANCELLED") => Some(reservation.created_at),
                _ => None,
            }
        }
        Service::Payment => {
            let payment = saga.payment.as_ref()?;
            match (body, payment.status.as_str()) {
                (EventBody::StockReserved, "AUTHORIZED" | "DECLINED" | "CAPTURING" | "CAPTURED" | "CAPTURE_FAILED") => {
                    Some(payment.created_at)
                }
                (EventBody::OrderConfirmed, "CAPTURED" | "CAPTURE_FAILED") => Some(payment.updated_at),
                (EventBody::OrderCancelRequested { .. }, "VOIDED") => Some(payment.updated_at),
                (EventBody::OrderCancelRequested { .. }, "CANCELLED") => Some(payment.created_at),
                _ => None,
            }
        }
    }
}

/// Returns the events that inventory and payment must have published, by their states, and that the order has not
/// learnt: they are on their way to it.
pub(crate) fn unrecorded(saga: &Saga, facts: Facts, recorded: &[Option<EventBody>]) -> Vec<(EventBody, Timestamp)> {
    let mut events = Vec::new();
    let ended = facts.status().is_terminal();
    if let Some(reservation) = saga.reservation.as_ref().filter(|_| !ended) {
        let (made, changed) = (reservation.created_at, reservation.updated_at);
        match reservation.status.as_str() {
            "HELD" | "SOLD" if facts.stock < Stock::Reserved => events.push((EventBody::StockReserved, made)),
            "RELEASED" => {
                // It was held before; the order needs to know only the release.
                if facts.stock < Stock::Reserved && facts.cancel == Cancel::No {
                    events.push((EventBody::StockReserved, made));
                }
                if facts.stock < Stock::Released {
                    events.push((EventBody::StockReleased, changed));
                }
            }
            "CANCELLED" if facts.stock < Stock::Released => events.push((EventBody::StockReleased, made)),
            "REJECTED" => events.extend(rejected(saga).filter(|_| facts.stock < Stock::Released).map(|e| (e, made))),
            _ => {}
        }
    }
    if let Some(payment) = &saga.payment {
        let (made, changed) = (payment.created_at, payment.updated_at);
        let declined = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
        match payment.status.as_str() {
            "CAPTURED" if facts.awaits_capture() => events.push((EventBody::PaymentCaptured, changed)),
            "CAPTURE_FAILED" if facts.awaits_capture() => events.push((EventBody::PaymentCaptureFailed, changed)),
            _ if ended => {}
            "AUTHORIZED" if facts.payment < PaymentFact::Authorized => {
                events.push((EventBody::PaymentAuthorized, changed));
            }
            "DECLINED" if facts.payment < PaymentFact::Voided => events.push((declined, changed)),
            "VOIDED" if facts.payment < PaymentFact::Voided => events.push((EventBody::PaymentVoided, changed)),
            "CANCELLED" if facts.payment < PaymentFact::Voided => events.push((EventBody::PaymentVoided, made)),
            _ => {}
        }
    }
    events.retain(|(body, _)| !recorded.iter().flatten().any(|one| one.event_type() == body.event_type()));
    events
}

fn rejected(saga: &Saga) -> impl Iterator<Item = EventBody> {
    let sku = saga.order.items.first().and_then(|line| Sku::parse(&line.item_sku).ok());
    let reason = FailureReason::InsufficientStock;
    sku.map(|item_sku| EventBody::StockReservationFailed { reason, item_sku }).into_iter()
}
