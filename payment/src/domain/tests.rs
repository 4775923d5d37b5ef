use shared_events::{
    CancelReason, Event, EventBody, FailureReason, Line, Lines, Money, OrderDetails, OrderId, Quantity, SagaId, Sku,
    Timestamp,
};
use uuid::Uuid;

use super::*;

const FAILED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
const CANCEL: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(micros)
}

pub(super) fn event(body: EventBody) -> Event {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(2).unwrap() };
    let total = Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap();
    let order = OrderDetails { order_id: OrderId(1), lines: Lines::new([line]).unwrap(), total, payment_method: None };
    Event { saga_id: SagaId(Uuid::from_u128(7)), order, body }
}

fn expired() -> State {
    State::CaptureFailed("expired".to_owned())
}

fn declined() -> State {
    State::Declined("too much".to_owned())
}

/// A payment in this state, as it is in the table.
pub(super) fn payment(state: State, has_reference: bool) -> Payment {
    let Event { saga_id, order, .. } = event(CANCEL);
    let asked = matches!(state, State::Requested | State::Capturing | State::Voiding);
    let task = asked.then(|| Task::new(Some(order.lines.clone()), at(1)));
    let new = NewPayment::of_order(PaymentId(5), saga_id, &order);
    Payment { task, reference: has_reference.then(|| "ref".to_owned()), ..new.into_payment(state, at(1)) }
}

fn all() -> Vec<Option<Payment>> {
    let of = |state, has_reference| Some(payment(state, has_reference));
    vec![
        None,
        of(State::Requested, false),
        of(State::Requested, true),
        of(State::Authorized, true),
        of(State::Capturing, true),
        of(State::Captured, true),
        of(expired(), true),
        of(declined(), true),
        of(State::Voiding, true),
        of(State::Voided, true),
        of(State::Cancelled, false),
    ]
}

/// What an input does: the saved state, and the published event; `None` if it is impossible.
type Decided = Option<Effect>;
type Effect = (Option<State>, Option<EventBody>);

fn effect(transition: &Transition) -> Effect {
    assert!(transition.events.len() <= 1, "{transition:?}");
    (transition.payment.as_ref().map(|payment| payment.state.clone()), transition.events.first().cloned())
}

fn on(known: Option<&Payment>, body: EventBody) -> Option<Transition> {
    on_event(known, &event(body), PaymentId(9), at(2)).ok()
}

#[test]
fn every_event_in_every_state() {
    const NOTHING: Decided = Some((None, None));
    let of = |state, event| Some((state, event));
    let (voided, taken) = (Some(EventBody::PaymentVoided), Some(EventBody::PaymentCaptured));
    let not_taken = Some(EventBody::PaymentCaptureFailed);
    let only = |event: &Option<EventBody>| of(None, event.clone());
    let voiding = || of(Some(State::Voiding), None);
    // What `StockReserved`, a cancellation and `OrderConfirmed` do.
    let expected = [
        [of(Some(State::Requested), None), of(Some(State::Cancelled), voided.clone()), only(&not_taken)],
        [NOTHING, of(Some(State::Voided), voided.clone()), NOTHING],
        [NOTHING, voiding(), NOTHING],
        [NOTHING, voiding(), of(Some(State::Capturing), None)],
        [NOTHING, None, NOTHING],
        [NOTHING, None, only(&taken)],
        [NOTHING, voiding(), only(&not_taken)],
        [NOTHING, only(&voided), only(&not_taken)],
        [NOTHING, NOTHING, only(&not_taken)],
        [NOTHING, only(&voided), only(&not_taken)],
        [NOTHING, only(&voided), only(&not_taken)],
    ];
    for (known, expected) in all().into_iter().zip(expected) {
        let known = known.as_ref();
        for (body, expected) in [EventBody::StockReserved, CANCEL, EventBody::OrderConfirmed].into_iter().zip(expected)
        {
            let transition = on(known, body.clone());
            assert_eq!(transition.as_ref().map(effect), expected, "{body:?}, {known:?}");
            let Some(payment) = transition.and_then(|transition| transition.payment) else { continue };
            let (payment_id, created_at) = if known.is_some() { (5, 1) } else { (9, 2) };
            assert_eq!((payment.payment_id, payment.created_at), (PaymentId(payment_id), at(created_at)));
            assert_eq!(payment.task.is_some(), payment.step().is_some(), "{payment:?}");
            assert_eq!(payment.order(), payment.task.is_some().then(|| event(CANCEL).order), "{payment:?}");
            // The same event a second time.
            assert_eq!(on(Some(&payment), body).unwrap().payment, None, "{payment:?}");
        }
    }
    assert!(on_event(None, &event(EventBody::OrderCreated), PaymentId(1), at(1)).is_err());
}

#[test]
fn only_the_payment_of_the_confirmed_order_is_captured() {
    let known = payment(State::Authorized, true);
    let confirmed = event(EventBody::OrderConfirmed);
    let total = Money::from_minor_units(19_999, "USD".parse().unwrap()).unwrap();
    let others = [
        OrderDetails { order_id: OrderId(2), ..confirmed.order.clone() },
        OrderDetails { total, ..confirmed.order.clone() },
    ];
    for order in others {
        let other = Event { order, ..confirmed.clone() };
        assert_eq!(on_event(Some(&known), &other, PaymentId(9), at(2)), Err(Impossible::AnotherOrder));
    }
}

#[test]
fn every_answer_in_every_state() {
    let answers = [
        Answer::Prepared { reference: "new".to_owned() },
        Answer::Authorized,
        Answer::Declined { reason: "too much".to_owned() },
        Answer::Captured { reference: "of the capture".to_owned() },
        Answer::CaptureFailed { reason: "expired".to_owned() },
        Answer::Voided,
    ];
    for known in all().into_iter().flatten() {
        for answer in &answers {
            let transition = on_answer(&known, answer, at(2));
            let expected: Effect = match (known.step(), answer) {
                (Some(Step::Prepare), Answer::Prepared { .. }) => (Some(State::Requested), None),
                (Some(Step::Authorize), Answer::Authorized) => {
                    (Some(State::Authorized), Some(EventBody::PaymentAuthorized))
                }
                (Some(Step::Prepare | Step::Authorize), Answer::Declined { .. }) => (Some(declined()), Some(FAILED)),
                (Some(Step::Capture), Answer::Captured { .. }) => {
                    (Some(State::Captured), Some(EventBody::PaymentCaptured))
                }
                (Some(Step::Capture), Answer::CaptureFailed { .. }) => {
                    (Some(expired()), Some(EventBody::PaymentCaptureFailed))
                }
                (Some(Step::Void), Answer::Voided) => (Some(State::Voided), Some(EventBody::PaymentVoided)),
                _ => (None, None),
            };
            assert_eq!(effect(&transition), expected, "{answer:?}, {known:?}");
            let Some(payment) = transition.payment else { continue };
            assert_eq!(payment.task.is_some(), payment.step().is_some(), "{payment:?}");
            let reference = match (&known.reference, answer) {
                (Some(_), Answer::Captured { reference }) => Some(reference.as_str()),
                (Some(_), _) => Some("ref"),
                (None, _) => payment.reference.as_deref(),
            };
            assert_eq!(payment.reference.as_deref(), reference, "only a capture changes the reference");
            assert_eq!(on_answer(&payment, answer, at(3)).payment, None, "the same answer twice: {payment:?}");
        }
    }
}

#[test]
fn a_void_that_an_earlier_version_began_is_answered_once_its_order_is_known() {
    let old = Payment { task: Some(Task::new(None, at(1))), ..payment(State::Voiding, true) };
    let transition = on(Some(&old), CANCEL).unwrap();
    assert_eq!(
        (transition.events, transition.payment.and_then(|payment| payment.order())),
        (vec![], { Some(event(CANCEL).order) })
    );
}
