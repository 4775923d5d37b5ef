//! How each event of the saga changes a payment. Events may arrive at any time, in any order and any number of times.
//!
//! ```text
//!   StockReserved  REQUESTED      prepared  REQUESTED         authorized
//! ───────────────► (no reference) ────────► (with reference) ────────────► AUTHORIZED
//!   │                │       │                  │     │                        │
//!   │                │cancel └── declined ──┐   │     │ cancel                 │ cancel
//!   │ cancel         ▼                      ▼   ▼     ▼        voided          ▼
//!   └──► CANCELLED   VOIDED                DECLINED   VOIDING ────────► VOIDED ◄─ … VOIDING
//! ```
//!
//! `StockReserved` only records what is to be paid. The gateway is asked later, step by step ([`Payment::step`]), and
//! its answers are inputs of their own ([`on_answer`](super::on_answer)). A reference is stored before anything is
//! charged for it. So a cancellation needs no gateway as long as there is no reference: what is prepared later charges
//! nothing. Once there is one, an authorization may be on its way, and the payment is voided: at the gateway a void is
//! final, whichever of the two arrives first.

use shared_events::{Event, EventBody, EventType, Lines, Timestamp};

use super::{NewPayment, Payment, PaymentId, State, Task};

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The payment to be saved, if it is new or has changed.
    pub payment: Option<Payment>,
    /// The event to publish.
    pub event: Option<EventBody>,
}

/// Why an event cannot be handled. Retrying it does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The flow table does not send this event here.
    #[error("{0} is not for the payment service")]
    NotForPayment(EventType),
}

/// Decides how an event changes the payment that is `known` for its saga. `new_id` becomes the id of the payment if
/// none is known. Idempotent: a repeated event changes nothing, and a repeated cancellation is answered again.
///
/// # Errors
/// If payment does not consume the event.
pub fn on_event(
    known: Option<&Payment>,
    event: &Event,
    new_id: PaymentId,
    now: Timestamp,
) -> Result<Transition, Impossible> {
    let Event { saga_id, order, body } = event;
    let new = NewPayment::of_order(new_id, *saga_id, order);
    match body {
        EventBody::StockReserved => {
            let task = Task { method: order.payment_method.clone(), ..Task::new(Some(order.lines.clone()), now) };
            Ok(stock_reserved(known, new, task, now))
        }
        EventBody::OrderCancelRequested { .. } => Ok(cancel_requested(known, new, &order.lines, now)),
        EventBody::OrderCreated
        | EventBody::OrderConfirmed
        | EventBody::OrderFailed { .. }
        | EventBody::OrderCancelled
        | EventBody::StockReservationFailed { .. }
        | EventBody::StockReleased
        | EventBody::StockHoldOverdue
        | EventBody::PaymentAuthorized
        | EventBody::PaymentFailed { .. }
        | EventBody::PaymentVoided => Err(Impossible::NotForPayment(body.event_type())),
    }
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

/// Handles a cancellation. If nothing can be authorized, `PaymentVoided` is published at once, otherwise after the
/// gateway has voided the payment. `new` becomes a tombstone if no payment is known.
fn cancel_requested(known: Option<&Payment>, new: NewPayment, lines: &Lines, now: Timestamp) -> Transition {
    let Some(payment) = known else {
        return Transition::of(new.into_payment(State::Cancelled, now), EventBody::PaymentVoided);
    };
    match (&payment.state, &payment.reference) {
        (State::Requested, None) => Transition::of(payment.with(State::Voided, None, now), EventBody::PaymentVoided),
        (State::Requested | State::Authorized, _) => {
            Transition::silent(payment.with(State::Voiding, Some(Task::new(Some(lines.clone()), now)), now))
        }
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
            Transition { payment: None, event: Some(EventBody::PaymentVoided) }
        }
    }
}

impl Transition {
    pub(super) fn of(payment: Payment, event: EventBody) -> Self {
        Self { payment: Some(payment), event: Some(event) }
    }

    pub(super) fn silent(payment: Payment) -> Self {
        Self { payment: Some(payment), event: None }
    }
}
