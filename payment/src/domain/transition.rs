//! What each input of the saga makes of a payment. Any of them may come at any time, and any number of times.
//!
//! ```text
//!                    StockReserved and the gateway's yes          cancel              the gateway voided it
//! nothing known ────────────────────────────────────► AUTHORIZED ────────► VOIDING ────────────────────────► VOIDED
//!       │   └── StockReserved and the gateway's no ──► DECLINED              ▲
//!       └────────────── cancel ──────────────────────► CANCELLED ────────────┘
//!                                                                 StockReserved and the gateway's yes
//! ```
//!
//! The gateway is asked before `StockReserved` is decided, so a cancellation may be decided in between. Then the yes finds
//! the cancellation and is voided. And a payment is voided only *after* its authorization is in the table: a void that is
//! under way beside the authorization could reach the gateway first, and leave a charge that nobody knows of.

use shared_events::{Event, EventBody, EventType, FailureReason, Timestamp};

use super::{Answer, NewPayment, Payment, PaymentId, State};

/// What comes of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transition {
    /// The payment to be saved, if it is new or has changed.
    pub payment: Option<Payment>,
    /// What is published.
    pub event: Option<EventBody>,
    /// Whether the gateway is to be asked to void the payment, once this is durable.
    pub void: bool,
}

/// Why an event cannot be. Trying again is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// `StockReserved` is decided by the gateway's answer.
    #[error("the gateway was not asked")]
    GatewayNotAsked,
    /// The flow table does not send this event here.
    #[error("{0} is not for the payment service")]
    NotForPayment(EventType),
}

/// What an event needs besides the payment.
#[derive(Debug)]
pub struct Context<'a> {
    /// The number of the payment that comes about if none is known.
    pub new_id: PaymentId,
    /// The gateway's answer, if the event needs one.
    pub answer: Option<&'a Answer>,
    /// The time of the event's arrival, or of the gateway's answer.
    pub now: Timestamp,
}

/// What an event makes of the payment that is `known` for its saga. Idempotent: the same event again changes nothing, and a
/// cancellation is answered again.
///
/// # Errors
/// If the event cannot be.
pub fn on_event(known: Option<&Payment>, event: &Event, context: Context<'_>) -> Result<Transition, Impossible> {
    let Context { new_id, answer, now } = context;
    let Event { saga_id, order, body } = event;
    let new = NewPayment { payment_id: new_id, saga_id: Some(*saga_id), order_id: order.order_id, amount: order.total };
    match (body, answer) {
        (EventBody::StockReserved, Some(answer)) => Ok(stock_reserved(known, new, answer, now)),
        (EventBody::StockReserved, None) => Err(Impossible::GatewayNotAsked),
        (EventBody::OrderCancelRequested { .. }, _) => Ok(cancel_requested(known, new, now)),
        _ => Err(Impossible::NotForPayment(body.event_type())),
    }
}

/// The stock is reserved, and the gateway has answered. `new` is the payment that comes about where none is known.
pub(super) fn stock_reserved(known: Option<&Payment>, new: NewPayment, answer: &Answer, now: Timestamp) -> Transition {
    match (known.map(|payment| (payment, &payment.state)), answer) {
        (None, Answer::Authorized { .. }) => {
            Transition::of(Payment::decided(new, answer, now), EventBody::PaymentAuthorized)
        }
        (None, Answer::Declined { .. }) => {
            let failed = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
            Transition::of(Payment::decided(new, answer, now), failed)
        }
        // The order was cancelled while the gateway was asked, or before.
        (Some((tombstone, State::Cancelled)), Answer::Authorized { reference }) => {
            let payment = Payment { reference: Some(reference.clone()), ..tombstone.moved_to(State::Voiding, now) };
            Transition { payment: Some(payment), event: None, void: true }
        }
        (Some((_, State::Cancelled)), Answer::Declined { .. }) => Transition::default(),
        // A repetition: the answer is the one that is known.
        (Some((_, State::Authorized | State::Declined(_) | State::Voiding | State::Voided)), _) => {
            Transition::default()
        }
    }
}

/// The order is to be undone. That nothing is authorized is said at once where it is so already, and otherwise once the
/// gateway has voided the payment. `new` is the payment that is kept from coming about where none is known.
pub(super) fn cancel_requested(known: Option<&Payment>, new: NewPayment, now: Timestamp) -> Transition {
    let Some(payment) = known else {
        return Transition::of(Payment::cancelled(new, now), EventBody::PaymentVoided);
    };
    match payment.state {
        State::Authorized => {
            Transition { payment: Some(payment.moved_to(State::Voiding, now)), event: None, void: true }
        }
        State::Voiding => Transition { payment: None, event: None, void: true },
        State::Declined(_) | State::Voided | State::Cancelled => {
            Transition { payment: None, event: Some(EventBody::PaymentVoided), void: false }
        }
    }
}

/// The gateway has voided the payment. Saying so is only for who was asked to.
#[must_use]
pub fn on_voided(known: Option<&Payment>, now: Timestamp) -> Transition {
    match known.map(|payment| (payment, &payment.state)) {
        Some((payment, State::Voiding)) => {
            Transition::of(payment.moved_to(State::Voided, now), EventBody::PaymentVoided)
        }
        Some((_, State::Voided)) => Transition { event: Some(EventBody::PaymentVoided), ..Transition::default() },
        // The gateway is asked for nothing else.
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

    /// Everything that may be known, and each of the four inputs: the state that is saved, what is said, what follows.
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
    fn the_same_input_twice_is_as_good_as_once() {
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
