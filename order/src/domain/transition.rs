//! How each input of the saga changes an order. Events may arrive in any order, and any number of times.

use shared_events::{Event, EventBody, Timestamp};

use super::{AlreadyConfirmed, CancelPolicy, Fact, Order};

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The order to be saved, if it has changed.
    pub order: Option<Order>,
    /// The events to publish.
    pub events: Vec<Event>,
}

/// Handles an event about an order. If the order is not `known`, this database has lost it or was restored from an
/// earlier backup. Then its cancellation is published, so that the services that hold something for it release it.
#[must_use]
pub fn on_event(known: Option<&Order>, event: &Event, now: Timestamp) -> Transition {
    match (known, Fact::of(&event.body)) {
        (Some(order), Some(fact)) => Transition::of(order, |order| order.learn(fact, now)),
        (Some(order), None) => Transition { order: None, events: order.outcome_event().into_iter().collect() },
        (None, _) => match event.body {
            EventBody::StockReserved | EventBody::PaymentAuthorized | EventBody::StockHoldOverdue => {
                let cancel = Order::event_for_unknown_order(event.saga_id, event.order.clone());
                Transition { order: None, events: vec![cancel] }
            }
            _ => Transition::default(),
        },
    }
}

/// Cancels the order for the client.
///
/// # Errors
/// If the order is confirmed.
pub fn on_cancel(order: &Order, now: Timestamp, cancel_policy: &CancelPolicy) -> Result<Transition, AlreadyConfirmed> {
    let mut changed = order.clone();
    let events = changed.cancel(now, cancel_policy)?;
    Ok(Transition { order: (changed != *order).then_some(changed), events })
}

/// Handles a tick of the timer: an order past its deadline is cancelled, and an unanswered cancellation or confirmation
/// is repeated.
#[must_use]
pub fn on_tick(order: &Order, now: Timestamp, cancel_policy: &CancelPolicy) -> Transition {
    Transition::of(order, |order| order.wake(now, cancel_policy))
}

impl Transition {
    fn of(order: &Order, change: impl FnOnce(&mut Order) -> Vec<Event>) -> Self {
        let mut changed = order.clone();
        let events = change(&mut changed);
        Self { order: (changed != *order).then_some(changed), events }
    }
}
