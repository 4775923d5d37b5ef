use std::collections::VecDeque;

use shared_events::{
    EventBody, Service,
    facts::{Cancel, Fact, Facts},
};

/// A message that was sent and not handled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// The event.
    pub(crate) body: EventBody,
    /// The service that will handle it.
    pub(crate) to: Service,
}

/// How an order goes on from here if every service answers and nothing goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToCome {
    /// The events that will be published, one after another.
    pub(crate) events: Vec<EventBody>,
    /// What will be known about the order at the end.
    pub(crate) facts: Facts,
}

/// Plays the saga on from these facts and the messages in flight: the flow table says who gets an event, [`answer`]
/// what inventory and payment publish then, and the status function when the order ends.
pub(crate) fn to_come(mut facts: Facts, in_flight: impl IntoIterator<Item = InFlight>) -> ToCome {
    let mut queue: VecDeque<InFlight> = in_flight.into_iter().collect();
    let mut events: Vec<EventBody> = Vec::new();
    while let Some(InFlight { body, to }) = queue.pop_front() {
        let next = match to {
            Service::Order => learn(&mut facts, &body),
            Service::Inventory | Service::Payment => awaited(facts, to, &body),
        };
        if let Some(next) = next.filter(|next| !events.contains(next)) {
            let consumers = next.event_type().flow().consumers;
            queue.extend(consumers.iter().map(|&to| InFlight { body: next.clone(), to }));
            events.push(next);
        }
    }
    ToCome { events, facts }
}

/// The order learns what the event says. Returns the final event if the order ends with it.
fn learn(facts: &mut Facts, body: &EventBody) -> Option<EventBody> {
    let fact = Fact::of(body).filter(|fact| may_learn(*facts, *fact))?;
    let ended = facts.status().is_terminal();
    *facts = facts.learn(fact);
    facts.final_event().filter(|_| !ended)
}

/// Whether an order with these facts learns another one: once it has ended, only what became of the capture.
fn may_learn(facts: Facts, fact: Fact) -> bool {
    !facts.status().is_terminal() || (facts.awaits_capture() && matches!(fact, Fact::Capture(_)))
}

/// Returns the answer of inventory or payment to this event, if the order waits for it.
pub(crate) fn awaited(facts: Facts, service: Service, body: &EventBody) -> Option<EventBody> {
    let begins = matches!(body, EventBody::OrderCreated | EventBody::StockReserved);
    if begins && facts.cancel != Cancel::No {
        return None;
    }
    let answer = answer(service, body)?;
    let fact = Fact::of(&answer).filter(|fact| may_learn(facts, *fact))?;
    (facts.learn(fact) != facts).then_some(answer)
}

/// Returns what a service publishes when it handles this event for the first time and nothing goes wrong. A test holds
/// it against the services.
pub(crate) fn answer(service: Service, body: &EventBody) -> Option<EventBody> {
    match (service, body) {
        (Service::Inventory, EventBody::OrderCreated) => Some(EventBody::StockReserved),
        (Service::Inventory, EventBody::PaymentFailed { .. } | EventBody::OrderCancelRequested { .. }) => {
            Some(EventBody::StockReleased)
        }
        (Service::Payment, EventBody::StockReserved) => Some(EventBody::PaymentAuthorized),
        (Service::Payment, EventBody::OrderConfirmed) => Some(EventBody::PaymentCaptured),
        (Service::Payment, EventBody::OrderCancelRequested { .. }) => Some(EventBody::PaymentVoided),
        (Service::Payment, EventBody::RefundRequested { refund }) => {
            Some(EventBody::PaymentRefunded { refund: refund.clone() })
        }
        (Service::Inventory, EventBody::PaymentRefunded { refund }) if refund.restock.is_some() => {
            Some(EventBody::StockReturned { refund: refund.clone() })
        }
        _ => None,
    }
}
