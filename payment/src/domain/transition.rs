//! How each input of the saga changes a payment. Inputs may arrive at any time, in any order and any number of times.
//!
//! ```text
//!                    StockReserved, gateway authorizes            cancel              the gateway voided it
//! nothing known ────────────────────────────────────► AUTHORIZED ────────► VOIDING ────────────────────────► VOIDED
//!       │   └── StockReserved, gateway declines ─────► DECLINED              ▲
//!       └────────────── cancel ──────────────────────► CANCELLED ────────────┘
//!                                                                 StockReserved, gateway authorizes
//! ```
//!
//! The gateway is called before `StockReserved` is decided, so a cancellation may be decided in between. Then the
//! authorization finds the tombstone, and is voided. A payment is voided only *after* its authorization is in the
//! table: a void that runs at the same time as the authorization could reach the gateway first, and leave a charge that
//! no row records.

use shared_events::{Event, EventBody, EventType, FailureReason, Timestamp};

use super::{Answer, NewPayment, Payment, PaymentId, State};

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The payment to be saved, if it is new or has changed.
    pub payment: Option<Payment>,
    /// The event to publish.
    pub event: Option<EventBody>,
    /// Whether the gateway has to void the payment, once this is durable.
    pub void: bool,
}

/// Why an event cannot be handled. Retrying it does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// `StockReserved` came without an answer of the gateway.
    #[error("the gateway was not called")]
    GatewayNotCalled,
    /// The flow table does not send this event here.
    #[error("{0} is not for the payment service")]
    NotForPayment(EventType),
}

/// What the decision about an event needs besides the payment.
#[derive(Debug)]
pub struct Context<'a> {
    /// The id of the payment, if a new one is created.
    pub new_id: PaymentId,
    /// The gateway's answer, if the event needs one.
    pub answer: Option<&'a Answer>,
    /// The time of the event's arrival, or of the gateway's answer.
    pub now: Timestamp,
}

/// Decides how an event changes the payment that is `known` for its saga. Idempotent: a repeated event changes nothing,
/// and a repeated cancellation is answered again.
///
/// # Errors
/// If payment does not consume the event, or the answer of the gateway is missing.
pub fn on_event(known: Option<&Payment>, event: &Event, context: Context<'_>) -> Result<Transition, Impossible> {
    let Context { new_id, answer, now } = context;
    let Event { saga_id, order, body } = event;
    let new = NewPayment { payment_id: new_id, saga_id: Some(*saga_id), order_id: order.order_id, amount: order.total };
    match (body, answer) {
        (EventBody::StockReserved, Some(answer)) => Ok(stock_reserved(known, new, answer, now)),
        (EventBody::StockReserved, None) => Err(Impossible::GatewayNotCalled),
        (EventBody::OrderCancelRequested { .. }, _) => Ok(cancel_requested(known, new, now)),
        (
            EventBody::OrderCreated
            | EventBody::OrderConfirmed
            | EventBody::OrderFailed { .. }
            | EventBody::OrderCancelled
            | EventBody::StockReservationFailed { .. }
            | EventBody::StockReleased
            | EventBody::StockHoldOverdue
            | EventBody::PaymentAuthorized
            | EventBody::PaymentFailed { .. }
            | EventBody::PaymentVoided,
            _,
        ) => Err(Impossible::NotForPayment(body.event_type())),
    }
}

/// Handles `StockReserved` with the gateway's answer. `new` becomes the payment if none is known.
pub(super) fn stock_reserved(known: Option<&Payment>, new: NewPayment, answer: &Answer, now: Timestamp) -> Transition {
    match (known.map(|payment| (payment, &payment.state)), answer) {
        (None, Answer::Authorized { .. }) => {
            Transition::of(Payment::from_answer(new, answer, now), EventBody::PaymentAuthorized)
        }
        (None, Answer::Declined { .. }) => {
            let failed = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
            Transition::of(Payment::from_answer(new, answer, now), failed)
        }
        // The order was cancelled before or during the call to the gateway.
        (Some((tombstone, State::Cancelled)), Answer::Authorized { reference }) => {
            let payment = Payment { reference: Some(reference.clone()), ..tombstone.with_state(State::Voiding, now) };
            Transition { payment: Some(payment), event: None, void: true }
        }
        (Some((_, State::Cancelled)), Answer::Declined { .. }) => Transition::default(),
        // A repeated event: the known answer counts.
        (Some((_, State::Authorized | State::Declined(_) | State::Voiding | State::Voided)), _) => {
            Transition::default()
        }
    }
}

/// Handles a cancellation. If nothing is authorized, `PaymentVoided` is published at once, otherwise after the gateway
/// has voided the payment. `new` becomes a tombstone if no payment is known.
pub(super) fn cancel_requested(known: Option<&Payment>, new: NewPayment, now: Timestamp) -> Transition {
    let Some(payment) = known else {
        return Transition::of(Payment::cancelled(new, now), EventBody::PaymentVoided);
    };
    match payment.state {
        State::Authorized => {
            Transition { payment: Some(payment.with_state(State::Voiding, now)), event: None, void: true }
        }
        State::Voiding => Transition { payment: None, event: None, void: true },
        State::Declined(_) | State::Voided | State::Cancelled => {
            Transition { payment: None, event: Some(EventBody::PaymentVoided), void: false }
        }
    }
}

/// Handles a void by the gateway. The caller publishes the event only if the void answers a cancellation.
#[must_use]
pub fn on_voided(known: Option<&Payment>, now: Timestamp) -> Transition {
    match known.map(|payment| (payment, &payment.state)) {
        Some((payment, State::Voiding)) => {
            Transition::of(payment.with_state(State::Voided, now), EventBody::PaymentVoided)
        }
        Some((_, State::Voided)) => Transition { event: Some(EventBody::PaymentVoided), ..Transition::default() },
        // No other state is ever voided.
        Some((_, State::Authorized | State::Declined(_) | State::Cancelled)) | None => Transition::default(),
    }
}

impl Transition {
    fn of(payment: Payment, event: EventBody) -> Self {
        Self { payment: Some(payment), event: Some(event), void: false }
    }
}

#[cfg(test)]
mod tests {
    use shared_events::{Money, OrderId, SagaId};
    use uuid::Uuid;

    use super::*;

    const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(micros)
    }

    fn new(payment_id: i64) -> NewPayment {
        NewPayment {
            payment_id: PaymentId(payment_id),
            saga_id: Some(SagaId(Uuid::from_u128(7))),
            order_id: OrderId(1),
            amount: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
        }
    }

    fn yes() -> Answer {
        Answer::Authorized { reference: "ref".to_owned() }
    }

    fn no() -> Answer {
        Answer::Declined { reason: "too much".to_owned() }
    }

    fn declined() -> State {
        State::Declined("too much".to_owned())
    }

    fn payment(state: State) -> Payment {
        let reference = matches!(state, State::Authorized | State::Voiding | State::Voided).then(|| "ref".to_owned());
        Payment { state, reference, ..Payment::cancelled(new(5), at(1)) }
    }

    /// For every known state and each of the four inputs: the saved state, the published event, and whether a void
    /// follows.
    #[test]
    fn every_input_in_every_state() {
        type Expected = (Option<State>, Option<EventBody>, bool);
        const NOTHING: Expected = (None, None, false);
        let voided = || Some(EventBody::PaymentVoided);
        let table: [(Option<State>, [Expected; 4]); 6] = [
            (
                None,
                [
                    (Some(State::Authorized), Some(EventBody::PaymentAuthorized), false),
                    (Some(declined()), Some(FAILED), false),
                    (Some(State::Cancelled), voided(), false),
                    NOTHING,
                ],
            ),
            (Some(State::Authorized), [NOTHING, NOTHING, (Some(State::Voiding), None, true), NOTHING]),
            (Some(declined()), [NOTHING, NOTHING, (None, voided(), false), NOTHING]),
            (Some(State::Voiding), [NOTHING, NOTHING, (None, None, true), (Some(State::Voided), voided(), false)]),
            (Some(State::Voided), [NOTHING, NOTHING, (None, voided(), false), (None, voided(), false)]),
            (Some(State::Cancelled), [(Some(State::Voiding), None, true), NOTHING, (None, voided(), false), NOTHING]),
        ];
        for (state, expected) in table {
            let known = state.clone().map(payment);
            let known = known.as_ref();
            let transitions = [
                stock_reserved(known, new(9), &yes(), at(2)),
                stock_reserved(known, new(9), &no(), at(2)),
                cancel_requested(known, new(9), at(2)),
                on_voided(known, at(2)),
            ];
            for (input, (transition, expected)) in transitions.into_iter().zip(expected).enumerate() {
                let saved = transition.payment.as_ref().map(|payment| payment.state.clone());
                assert_eq!((saved, transition.event, transition.void), expected, "{state:?}, input {input}");
                let Some(payment) = transition.payment else { continue };
                let (payment_id, created_at) = if known.is_some() { (5, 1) } else { (9, 2) };
                assert_eq!((payment.payment_id, payment.created_at), (PaymentId(payment_id), at(created_at)));
                assert_eq!(payment.changed_at, at(2));
                let has_reference = matches!(payment.state, State::Authorized | State::Voiding | State::Voided);
                assert_eq!(payment.reference.as_deref(), has_reference.then_some("ref"), "{state:?}, input {input}");
            }
        }
    }

    #[test]
    fn the_same_input_twice_has_the_effect_of_one() {
        let states = [State::Authorized, declined(), State::Voiding, State::Voided, State::Cancelled].map(Some);
        type Input = dyn Fn(Option<&Payment>) -> Transition;
        let inputs: [&Input; 4] = [
            &|known| stock_reserved(known, new(9), &yes(), at(2)),
            &|known| stock_reserved(known, new(9), &no(), at(2)),
            &|known| cancel_requested(known, new(9), at(2)),
            &|known| on_voided(known, at(2)),
        ];
        for state in states.into_iter().chain([None]) {
            let known = state.map(payment);
            for input in inputs {
                let Some(once) = input(known.as_ref()).payment else { continue };
                assert_eq!(input(Some(&once)).payment, None, "{known:?} became {once:?}");
            }
        }
    }
}
