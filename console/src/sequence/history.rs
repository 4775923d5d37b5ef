use serde_json::Value;
use shared_events::{
    CancelReason, EventBody, EventType, FailureReason, RefundDetails, Service,
    facts::{Cancel, Fact, Facts, Status},
};

use super::data::{Entry, Order, Saga};

/// The facts about an order, as its timeline tells them.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// The facts after each entry of the timeline.
    pub(crate) after: Vec<Facts>,
}

impl History {
    /// Learns the entries of the timeline one after another, as the order service did. An order that has ended learns
    /// nothing more, except what became of the capture.
    pub(crate) fn of(saga: &Saga) -> Self {
        let mut facts = Facts::default();
        let learn = |entry: &Entry| {
            let learnt = after(facts, entry, &saga.order);
            if !facts.status().is_terminal() {
                facts = learnt;
            } else if facts.status() == Status::Confirmed {
                facts.capture = learnt.capture;
            }
            facts
        };
        Self { after: saga.timeline.iter().map(learn).collect() }
    }

    /// Returns the facts at the end of the timeline.
    pub(crate) fn now(&self) -> Facts {
        self.after.last().copied().unwrap_or_default()
    }

    /// Returns the facts before the entry at `index`.
    pub(crate) fn before(&self, index: usize) -> Facts {
        index.checked_sub(1).map_or_else(Facts::default, |before| self.after[before])
    }
}

/// The longest timeline that is shown whole.
const LONGEST: usize = 60;

impl Saga {
    /// Shortens a timeline that is too long to be drawn: in its middle, the events that changed nothing are left out
    /// (repeated decisions, duplicates). Returns how many that were.
    pub(crate) fn abridged(mut self) -> (Self, usize) {
        let before = self.timeline.len();
        if before > LONGEST {
            let history = History::of(&self);
            let edge = |index: usize| index < LONGEST / 2 || index + LONGEST / 2 >= before;
            let kept = |index: usize| edge(index) || history.before(index) != history.after[index];
            let timeline = std::mem::take(&mut self.timeline).into_iter().enumerate();
            self.timeline = timeline.filter(|(index, _)| kept(*index)).map(|(_, entry)| entry).collect();
        }
        let left_out = before - self.timeline.len();
        (self, left_out)
    }
}

fn after(facts: Facts, entry: &Entry, order: &Order) -> Facts {
    match body_of(entry, order) {
        Some(EventBody::OrderCancelRequested { reason }) if facts.cancel == Cancel::No => {
            Facts { cancel: Cancel::Requested(reason), ..facts }
        }
        Some(body) if entry.publisher() != Some(Service::Order) => {
            Fact::of(&body).map_or(facts, |fact| facts.learn(fact))
        }
        _ => facts,
    }
}

/// Returns what the event says, or `None` if this version does not know it. A reason that is not recorded (by earlier
/// versions) is derived from how the order ended.
pub(crate) fn body_of(entry: &Entry, order: &Order) -> Option<EventBody> {
    let recorded = entry.data.as_ref().and_then(|data| data.get("reason"));
    let failure = || parsed(recorded).or_else(|| parsed(order.failure_reason.clone().map(Value::from).as_ref()));
    Some(match entry.event_type()? {
        EventType::OrderCreated => EventBody::OrderCreated,
        EventType::StockReserved => EventBody::StockReserved,
        EventType::StockReservationFailed => EventBody::StockReservationFailed {
            reason: failure().unwrap_or(FailureReason::InsufficientStock),
            item_sku: item_sku(entry, order)?,
        },
        EventType::PaymentAuthorized => EventBody::PaymentAuthorized,
        EventType::PaymentFailed => EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined },
        EventType::StockReleased => EventBody::StockReleased,
        EventType::OrderConfirmed => EventBody::OrderConfirmed,
        EventType::OrderFailed => {
            EventBody::OrderFailed { reason: failure().unwrap_or(FailureReason::DeadlineExceeded) }
        }
        EventType::OrderCancelled => EventBody::OrderCancelled,
        EventType::OrderCancelRequested => {
            let by_deadline = order.failure_reason.as_deref() == Some("DEADLINE_EXCEEDED");
            let derived = if by_deadline { CancelReason::Deadline } else { CancelReason::Customer };
            EventBody::OrderCancelRequested { reason: parsed(recorded).unwrap_or(derived) }
        }
        EventType::PaymentVoided => EventBody::PaymentVoided,
        EventType::StockHoldOverdue => EventBody::StockHoldOverdue,
        EventType::PaymentCaptured => EventBody::PaymentCaptured,
        EventType::PaymentCaptureFailed => EventBody::PaymentCaptureFailed,
        EventType::RefundRequested => EventBody::RefundRequested { refund: refund(entry)? },
        EventType::PaymentRefunded => EventBody::PaymentRefunded { refund: refund(entry)? },
        EventType::PaymentRefundFailed => {
            EventBody::PaymentRefundFailed { refund: refund(entry)?, reason: parsed(recorded)? }
        }
        EventType::StockReturned => EventBody::StockReturned { refund: refund(entry)? },
    })
}

fn parsed<T: serde::de::DeserializeOwned>(recorded: Option<&Value>) -> Option<T> {
    recorded.and_then(|value| serde_json::from_value(value.clone()).ok())
}

fn refund(entry: &Entry) -> Option<RefundDetails> {
    parsed(entry.data.as_ref()?.get("refund"))
}

fn item_sku(entry: &Entry, order: &Order) -> Option<shared_events::Sku> {
    let recorded = entry.data.as_ref().and_then(|data| data.get("item_sku")).and_then(Value::as_str);
    let first = order.items.first().map(|line| line.item_sku.as_str());
    shared_events::Sku::parse(recorded.or(first)?).ok()
}
