use shared_events::{Event, Line, OrderId, Quantity, Sku};
use uuid::Uuid;

use super::*;
use crate::domain::{
    Answer, PaymentId, Step, on_answer, on_event,
    tests::{at, event, payment},
};

fn details(id: u128, minor_units: i64) -> RefundDetails {
    let restock = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(1).unwrap() };
    RefundDetails {
        refund_id: RefundId(Uuid::from_u128(id)),
        amount: Money::from_minor_units(minor_units, "USD".parse().unwrap()).unwrap(),
        restock: Some(Lines::new([restock]).unwrap()),
    }
}

fn request(payment: Option<&Payment>, refund: &RefundDetails) -> Transition {
    let event = event(EventBody::RefundRequested { refund: refund.clone() });
    on_event(payment, &event, PaymentId(9), at(2)).unwrap()
}

/// The payment after a transition, and the events.
fn after(transition: Transition) -> (Payment, Vec<EventBody>) {
    (transition.payment.unwrap(), transition.events)
}

fn refunded(refund: &RefundDetails) -> EventBody {
    EventBody::PaymentRefunded { refund: refund.clone() }
}

fn failed(refund: &RefundDetails, reason: RefundFailure) -> EventBody {
    EventBody::PaymentRefundFailed { refund: refund.clone(), reason }
}

#[test]
fn a_captured_payment_is_refunded_in_parts_one_after_another() {
    let (first, second) = (details(1, 15_000), details(2, 5_000));
    let captured = payment(State::Captured, true);
    let (asked, events) = after(request(Some(&captured), &first));
    assert_eq!((asked.step(), asked.order(), events), {
        (Some(Step::Refund(first.refund_id)), Some(event(refunded(&first)).order), vec![])
    });
    // The same request again changes nothing.
    assert_eq!(request(Some(&asked), &first), Transition::default());
    let under_way = asked.task.clone().map(|task| Task { attempts: 1, due_at: at(9), ..task });
    let (both, events) = after(request(Some(&Payment { task: under_way.clone(), ..asked }), &second));
    assert_eq!((both.step(), &both.task, events), (Some(Step::Refund(first.refund_id)), &under_way, vec![]));

    let (one_done, events) = after(on_answer(&both, &Answer::Refunded(first.refund_id), at(3)));
    assert_eq!((one_done.step(), events), (Some(Step::Refund(second.refund_id)), vec![refunded(&first)]));
    assert_eq!(one_done.task, Some(Task::new(Some(event(refunded(&first)).order.lines), at(3))));
    // A late answer about the first is none about the second.
    assert_eq!(on_answer(&one_done, &Answer::Refunded(first.refund_id), at(3)), Transition::default());
    let (done, events) = after(on_answer(&one_done, &Answer::Refunded(second.refund_id), at(4)));
    assert_eq!((done.step(), &done.task, events), (None, &None, vec![refunded(&second)]));
    assert_eq!((done.refunded().unwrap().minor_units(), &done.state), (20_000, &State::Captured));
    // What has ended is answered again.
    assert_eq!(request(Some(&done), &first), Transition { payment: None, events: vec![refunded(&first)] });
}

#[test]
fn no_more_goes_back_than_was_captured() {
    let captured = payment(State::Captured, true);
    let (first, rest, more) = (details(1, 15_000), details(2, 5_001), details(3, 5_000));
    let (first_asked, _) = after(request(Some(&captured), &first));
    let (refused, events) = after(request(Some(&first_asked), &rest));
    assert_eq!(events, [failed(&rest, RefundFailure::ExceedsCaptured)]);
    assert_eq!(request(Some(&refused), &rest).events, events);
    // What was refused takes nothing of what is left.
    assert_eq!(after(request(Some(&refused), &more)).1, []);
    let euros = Money::from_minor_units(1, "EUR".parse().unwrap()).unwrap();
    let other = RefundDetails { amount: euros, ..details(4, 1) };
    assert_eq!(request(Some(&captured), &other).events, [failed(&other, RefundFailure::ExceedsCaptured)]);
}

#[test]
fn what_the_gateway_refuses_leaves_the_amount_for_another_refund() {
    let (first, second) = (details(1, 20_000), details(2, 20_000));
    let (asked, _) = after(request(Some(&payment(State::Captured, true)), &first));
    let refused = |refund_id| Answer::RefundRefused {
        refund_id,
        reason: RefundFailure::Declined,
        detail: "the card is gone".to_owned(),
    };
    let (refused, events) = after(on_answer(&asked, &refused(first.refund_id), at(3)));
    assert_eq!((events, refused.task.clone()), (vec![failed(&first, RefundFailure::Declined)], None));
    let detail = Some("the card is gone".to_owned());
    assert_eq!(refused.refunds[0].state, RefundState::Failed { reason: RefundFailure::Declined, detail });
    assert_eq!(after(request(Some(&refused), &second)).0.step(), Some(Step::Refund(second.refund_id)));
}

#[test]
fn a_refund_that_fails_after_it_was_accepted_leaves_its_amount_for_another() {
    let (first, second) = (details(1, 20_000), details(2, 20_000));
    let (asked, _) = after(request(Some(&payment(State::Captured, true)), &first));
    let (accepted, _) = after(on_answer(&asked, &Answer::Refunded(first.refund_id), at(3)));
    let reverse = |payment: &Payment| refund_reversed(payment, first.refund_id, "the card is gone", at(4));
    let (reversed, events) = after(reverse(&accepted));
    assert_eq!((events, reversed.refunded()), (vec![failed(&first, RefundFailure::Reversed)], None));
    let detail = Some("the card is gone".to_owned());
    assert_eq!(reversed.refunds[0].state, RefundState::Failed { reason: RefundFailure::Reversed, detail });
    assert_eq!(reversed.order_of_refund(first.refund_id), Some(event(refunded(&first)).order));
    // Again, and after a late answer, it is the same; order may have missed it.
    let again = vec![failed(&first, RefundFailure::Reversed)];
    assert_eq!(reverse(&reversed), Transition { payment: None, events: again });
    assert_eq!(on_answer(&reversed, &Answer::Refunded(first.refund_id), at(5)), Transition::default());
    // Inventory may have missed that it was accepted.
    let both = vec![refunded(&first), failed(&first, RefundFailure::Reversed)];
    assert_eq!(request(Some(&reversed), &first), Transition { payment: None, events: both });
    assert_eq!(after(request(Some(&reversed), &second)).0.step(), Some(Step::Refund(second.refund_id)));
}

#[test]
fn a_refund_that_fails_before_its_answer_is_handled_was_never_accepted() {
    let (first, second) = (details(1, 15_000), details(2, 5_000));
    let (asked, _) = after(request(Some(&payment(State::Captured, true)), &first));
    let (asked, _) = after(request(Some(&asked), &second));
    let (refused, events) = after(refund_reversed(&asked, first.refund_id, "the card is gone", at(4)));
    assert_eq!(events, [failed(&first, RefundFailure::Declined)]);
    // The next one goes on.
    assert_eq!((refused.step(), refused.task.is_some()), (Some(Step::Refund(second.refund_id)), true));
    assert_eq!(on_answer(&refused, &Answer::Refunded(first.refund_id), at(5)), Transition::default());
    let unknown = RefundId(Uuid::from_u128(3));
    assert_eq!(refund_reversed(&refused, unknown, "", at(4)), Transition::default());
}

#[test]
fn a_refund_waits_for_the_capture() {
    let refund = details(1, 20_000);
    for state in [State::Authorized, State::Capturing] {
        let known = payment(state, true);
        let (waiting, events) = after(request(Some(&known), &refund));
        assert_eq!((waiting.step(), &waiting.task, events), (known.step(), &known.task, vec![]));
        let confirmed = on_event(Some(&waiting), &event(EventBody::OrderConfirmed), PaymentId(9), at(2)).unwrap();
        let capturing = confirmed.payment.unwrap_or(waiting);
        let reference = "of the capture".to_owned();
        let (captured, events) = after(on_answer(&capturing, &Answer::Captured { reference }, at(3)));
        assert_eq!(events, [EventBody::PaymentCaptured]);
        assert_eq!(captured.step(), Some(Step::Refund(refund.refund_id)));
        assert_eq!(captured.order(), Some(event(EventBody::OrderConfirmed).order));

        let reason = "expired".to_owned();
        let (lost, events) = after(on_answer(&capturing, &Answer::CaptureFailed { reason }, at(3)));
        assert_eq!(events, [EventBody::PaymentCaptureFailed, failed(&refund, RefundFailure::NotCaptured)]);
        assert_eq!((lost.step(), lost.task.clone()), (None, None));
        assert_eq!(request(Some(&lost), &refund).events, [failed(&refund, RefundFailure::NotCaptured)]);
    }
}

#[test]
fn what_was_not_captured_and_will_not_be_is_not_refunded() {
    let refund = details(1, 1);
    let states = [
        State::CaptureFailed("expired".to_owned()),
        State::Declined("too much".to_owned()),
        State::Voiding,
        State::Voided,
        State::Cancelled,
    ];
    for known in states.map(|state| Some(payment(state, true))).into_iter().chain([None]) {
        let (after, events) = after(request(known.as_ref(), &refund));
        assert_eq!(events, [failed(&refund, RefundFailure::NotCaptured)], "{known:?}");
        // It is recorded, so a repetition has the same answer, and changes nothing else.
        assert_eq!(request(Some(&after), &refund), Transition { payment: None, events });
        let state = known.as_ref().map_or(&State::Cancelled, |known| &known.state);
        assert_eq!((&after.state, &after.task), (state, &known.as_ref().and_then(|known| known.task.clone())));
    }
}

#[test]
fn a_refund_of_another_order_is_impossible() {
    let requested = event(EventBody::RefundRequested { refund: details(1, 1) });
    let order = shared_events::OrderDetails { order_id: OrderId(2), ..requested.order.clone() };
    let other = Event { order, ..requested };
    let known = payment(State::Captured, true);
    assert_eq!(on_event(Some(&known), &other, PaymentId(9), at(2)), Err(Impossible::AnotherOrder));
}
