//! How each event of the saga changes a payment. Events may arrive at any time, in any order and any number of times.
//!
//! ```text
//!   StockReserved  REQUESTED      prepared  REQUESTED         authorized            OrderConfirmed
//! ───────────────► (no reference) ────────► (with reference) ────────────► AUTHORIZED ─────────► CAPTURING
//!   │                │       │                  │     │                        │         captured │  │ refused
//!   │                │cancel └── declined ──┐   │     │ cancel                 │ cancel           ▼  ▼
//!   │ cancel         ▼                      ▼   ▼     ▼        voided          ▼           CAPTURED  CAPTURE_FAILED
//!   └──► CANCELLED   VOIDED                DECLINED   VOIDING ────────► VOIDED ◄─ … VOIDING
//! ```
//!
//! `StockReserved` only records what is to be paid. The gateway is asked later, step by step ([`Payment::step`]), and
//! its answers are inputs of their own ([`on_answer`](super::on_answer)). A reference is stored before anything is
//! charged for it. So a cancellation needs no gateway as long as there is no reference: what is prepared later charges
//! nothing. Once there is one, an authorization may be on its way, and the payment is voided: at the gateway a void is
//! final, whichever of the two arrives first.
//!
//! Order confirms only what is authorized, and then cancels no more, so a capture and a void never cross. It repeats
//! `OrderConfirmed` until it knows what became of the capture; so each repetition is answered again.

use shared_events::{Event, EventBody, EventType, Lines, OrderDetails, Timestamp};

use super::{
    NewPayment, Payment, PaymentId, State, Task,
    refund::{refund_requested, settle_refunds},
};

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The payment to be saved, if it is new or has changed.
    pub payment: Option<Payment>,
    /// The events to publish.
    pub events: Vec<EventBody>,
}

/// Why an event cannot be handled. Retrying it does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The flow table does not send this event here.
    #[error("{0} is not for the payment service")]
    NotForPayment(EventType),
    /// Another order is confirmed or refunded than the one that the payment is for.
    #[error("the order's id or total differ from those of the order that the payment is for")]
    AnotherOrder,
    /// A confirmed order is cancelled.
    #[error("OrderCancelRequested, but the order is confirmed, and its payment is {0}")]
    Confirmed(&'static str),
}

/// Decides how an event changes the payment that is `known` for its saga. `new_id` becomes the id of the payment if
/// none is known. Idempotent: a repeated event changes nothing, and a repeated cancellation or confirmation is answered
/// again.
///
/// # Errors
/// If payment does not consume the event, or it is impossible in this state.
pub fn on_event(
    known: Option<&Payment>,
    event: &Event,
    new_id: PaymentId,
    now: Timestamp,
) -> Result<Transition, Impossible> {
    let Event { saga_id, order, body } = event;
    let new = NewPayment::of_order(new_id, *saga_id, order);
    let transition = match body {
        EventBody::StockReserved => {
            let task = Task { method: order.payment_method.clone(), ..Task::new(Some(order.lines.clone()), now) };
            stock_reserved(known, new, task, now)
        }
        EventBody::OrderCancelRequested { .. } => cancel_requested(known, new, &order.lines, now)?,
        EventBody::OrderConfirmed => order_confirmed(known, order, now)?,
        EventBody::RefundRequested { refund } => refund_requested(known, new, (refund, &order.lines), now)?,
        EventBody::OrderCreated
        | EventBody::OrderFailed { .. }
        | EventBody::OrderCancelled
        | EventBody::StockReservationFailed { .. }
        | EventBody::StockReleased
        | EventBody::StockHoldOverdue
        | EventBody::PaymentAuthorized
        | EventBody::PaymentFailed { .. }
        | EventBody::PaymentVoided
        | EventBody::PaymentCaptured
        | EventBody::PaymentCaptureFailed
        | EventBody::PaymentRefunded { .. }
        | EventBody::PaymentRefundFailed { .. }
        | EventBody::StockReturned { .. } => return Err(Impossible::NotForPayment(body.event_type())),
    };
    Ok(settle_refunds(transition, Some(&order.lines), now))
}

/// Handles `StockReserved`. `new` becomes the payment if none is known; a known one, or a tombstone, stays as it is.
fn stock_reserved(known: Option<&Payment>, new: NewPayment, task: Task, now: Timestamp) -> Transition {
    match known {
        None => Transition::silent(requested(new, task, now)),
        Some(_) => Transition::default(),
    }
}

/// Returns a new payment that the gateway is to be asked about.
#[must_use]
pub fn requested(new: NewPayment, task: Task, now: Timestamp) -> Payment {
    Payment { task: Some(task), ..new.into_payment(State::Requested, now) }
}

/// Handles `OrderConfirmed`. The order says so after `PaymentAuthorized`. So if nothing is authorized here, this
/// database is older than that, or has lost the payment.
fn order_confirmed(known: Option<&Payment>, order: &OrderDetails, now: Timestamp) -> Result<Transition, Impossible> {
    let answer = |event| Transition { payment: None, events: vec![event] };
    let Some(payment) = known else { return Ok(answer(EventBody::PaymentCaptureFailed)) };
    if (payment.order_id, payment.amount) != (order.order_id, order.total) {
        return Err(Impossible::AnotherOrder);
    }
    Ok(match (&payment.state, &payment.reference) {
        (State::Authorized, Some(_)) => {
            Transition::silent(payment.with(State::Capturing, Some(Task::new(Some(order.lines.clone()), now)), now))
        }
        (State::Captured, _) => answer(EventBody::PaymentCaptured),
        // It is answered when the gateway has, and what is still to be authorized is captured at the next repetition.
        (State::Capturing | State::Requested, _) => Transition::default(),
        (State::Authorized, None)
        | (State::CaptureFailed(_) | State::Declined(_) | State::Voiding | State::Voided | State::Cancelled, _) => {
            answer(EventBody::PaymentCaptureFailed)
        }
    })
}

/// Handles a cancellation. If nothing can be authorized, `PaymentVoided` is published at once, otherwise after the
/// gateway has voided the payment. `new` becomes a tombstone if no payment is known.
fn cancel_requested(
    known: Option<&Payment>,
    new: NewPayment,
    lines: &Lines,
    now: Timestamp,
) -> Result<Transition, Impossible> {
    let Some(payment) = known else {
        return Ok(Transition::of(new.into_payment(State::Cancelled, now), EventBody::PaymentVoided));
    };
    Ok(match (&payment.state, &payment.reference) {
        (State::Requested, None) => Transition::of(payment.with(State::Voided, None, now), EventBody::PaymentVoided),
        // After a failed capture, something may still be held.
        (State::Requested | State::Authorized | State::CaptureFailed(_), _) => {
            Transition::silent(payment.with(State::Voiding, Some(Task::new(Some(lines.clone()), now)), now))
        }
        // Order does not cancel what it has confirmed. Its database is older than that.
        (State::Capturing | State::Captured, _) => return Err(Impossible::Confirmed(payment.state.as_str())),
        // It is answered when the gateway has voided it. A task of an earlier version may not know the lines.
        (State::Voiding, _) => match &payment.task {
            Some(Task { lines: None, .. }) | None => {
                let task = payment.task.clone().unwrap_or_else(|| Task::new(None, now));
                let task = Task { lines: Some(lines.clone()), ..task };
                Transition::silent(payment.with(State::Voiding, Some(task), payment.changed_at))
            }
            Some(_) => Transition::default(),
        },
        (State::Declined(_) | State::Voided | State::Cancelled, _) => {
            Transition { payment: None, events: vec![EventBody::PaymentVoided] }
        }
    })
}

impl Transition {
    pub(super) fn of(payment: Payment, event: EventBody) -> Self {
        Self { payment: Some(payment), events: vec![event] }
    }

    pub(super) fn silent(payment: Payment) -> Self {
        Self { payment: Some(payment), events: Vec::new() }
    }
}
