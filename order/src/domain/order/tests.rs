use shared_events::{FailureReason, Line, Quantity, Sku};
use uuid::Uuid;

use super::{
    super::{Capture, Payment, PaymentStatus, Stock},
    *,
};

const POLICY: CancelPolicy = CancelPolicy {
    deadline: Duration::from_secs(60),
    first_repeat: Duration::from_secs(5),
    longest_repeat: Duration::from_secs(15),
};
const DECLINED: Fact = Fact::Payment(Payment::Declined(FailureReason::PaymentDeclined));

fn at(second: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(second))
}

fn order() -> Order {
    let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(2).unwrap() };
    let new = NewOrder {
        saga_id: SagaId(Uuid::from_u128(7)),
        owner: String::new(),
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: None,
    };
    Order::place(new, OrderId(1), at(0), &POLICY).0
}

fn bodies(events: Vec<Event>) -> Vec<EventBody> {
    events.into_iter().map(|event| event.body).collect()
}

#[test]
fn both_facts_confirm_in_either_order_and_once() {
    let facts = [Fact::Stock(Stock::Reserved), Fact::Payment(Payment::Authorized)];
    for [first, second] in [facts, [facts[1], facts[0]]] {
        let mut order = order();
        assert_eq!(bodies(order.learn(first, at(1))), []);
        assert_eq!(bodies(order.learn(first, at(2))), []);
        assert_eq!(bodies(order.learn(second, at(3))), [EventBody::OrderConfirmed]);
        assert_eq!(bodies(order.learn(second, at(4))), []);
        assert_eq!((order.status(), order.wake_at, order.changed_at), (Status::Confirmed, Some(at(60)), at(3)));
    }
}

fn confirmed() -> Order {
    let mut order = order();
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    order.learn(Fact::Payment(Payment::Authorized), at(1));
    order
}

#[test]
fn a_confirmed_order_waits_for_the_capture_and_shows_what_became_of_it() {
    for capture in [Capture::Captured, Capture::Failed] {
        let mut order = confirmed();
        assert_eq!(order.learn(Fact::Capture(capture), at(2)), []);
        assert_eq!((order.status(), order.facts.capture, order.wake_at), (Status::Confirmed, capture, None));
        assert_eq!((order.changed_at, order.wake(at(10_000), &POLICY)), (at(1), vec![]), "when it ended");
    }
    // What failed may be taken later, but not the other way round.
    let mut order = confirmed();
    for capture in [Capture::Failed, Capture::Captured, Capture::Failed] {
        order.learn(Fact::Capture(capture), at(2));
    }
    assert_eq!(order.facts.capture, Capture::Captured);
}

#[test]
fn a_capture_that_is_known_before_the_confirmation_is_not_waited_for() {
    let mut order = order();
    order.learn(Fact::Capture(Capture::Captured), at(1));
    assert_eq!((order.status(), order.wake_at), (Status::Pending, Some(at(60))));
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    assert_eq!(bodies(order.learn(Fact::Payment(Payment::Authorized), at(2))), [EventBody::OrderConfirmed]);
    assert_eq!((order.status(), order.wake_at), (Status::Confirmed, None));
}

#[test]
fn a_confirmation_is_repeated_with_growing_pauses_until_the_capture_is_known() {
    let (mut order, mut repeats) = (confirmed(), Vec::new());
    for second in 0..15_000 {
        let events = bodies(order.wake(at(second), &POLICY));
        assert!(events.iter().all(|body| *body == EventBody::OrderConfirmed), "{events:?}");
        repeats.extend((!events.is_empty()).then_some(second));
    }
    assert_eq!(repeats, [60, 75, 105, 165, 285, 525, 1_005, 1_965, 3_885, 7_485, 11_085, 14_685]);
    // One that an earlier version confirmed is not due at any time, and is repeated at once.
    let mut old = Order { wake_at: None, ..confirmed() };
    assert_eq!(bodies(old.wake(at(5), &POLICY)), [EventBody::OrderConfirmed]);
    assert_eq!(old.wake_at, Some(at(20)));
    old.learn(Fact::Capture(Capture::Captured), at(6));
    assert_eq!(old.wake(at(10_000), &POLICY), []);
}

#[test]
fn no_late_fact_moves_an_order_that_has_ended() {
    let mut captured = confirmed();
    captured.learn(Fact::Capture(Capture::Captured), at(2));
    let mut failed = order();
    failed.learn(Fact::Stock(Stock::Rejected(FailureReason::UnknownItem)), at(1));
    let capture = Fact::Capture(Capture::Captured);
    for mut ended in [captured, failed] {
        let before = ended.clone();
        for fact in [DECLINED, Fact::Stock(Stock::Released), Fact::Payment(Payment::Authorized), capture] {
            assert_eq!(ended.learn(fact, at(9)), []);
        }
        assert_eq!(ended.wake(at(1_000), &POLICY), []);
        assert_eq!(ended, before);
    }
}

#[test]
fn a_declined_payment_fails_the_order_only_once_its_stock_is_back() {
    let mut order = order();
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    assert_eq!(order.learn(DECLINED, at(2)), []);
    assert_eq!(order.status(), Status::Compensating);
    let failed = EventBody::OrderFailed { reason: FailureReason::PaymentDeclined };
    assert_eq!(bodies(order.learn(Fact::Stock(Stock::Released), at(3))), [failed]);
    assert_eq!(order.facts.payment_status(), PaymentStatus::Failed);
}

#[test]
fn a_cancel_and_a_payment_that_cross_end_with_the_payment_voided() {
    let mut order = order();
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    let request = EventBody::OrderCancelRequested { reason: CancelReason::Customer };
    assert_eq!(order.cancel(at(2), &POLICY).map(bodies), Ok(vec![request]));
    assert_eq!(order.learn(Fact::Payment(Payment::Authorized), at(3)), []);
    assert_eq!(order.status(), Status::Compensating);
    assert_eq!(order.cancel(at(3), &POLICY).map(bodies), Ok(vec![]), "a second request changes nothing");
    order.learn(Fact::Stock(Stock::Released), at(4));
    assert_eq!(bodies(order.learn(Fact::Payment(Payment::Voided), at(5))), [EventBody::OrderCancelled]);
    assert_eq!(order.facts.payment_status(), PaymentStatus::Voided);
}

#[test]
fn a_confirmed_order_is_not_cancelled() {
    assert_eq!(confirmed().cancel(at(2), &POLICY), Err(AlreadyConfirmed));
}

#[test]
fn past_its_deadline_an_order_is_cancelled_and_the_request_repeated_with_growing_pauses() {
    let mut order = order();
    let request = EventBody::OrderCancelRequested { reason: CancelReason::Deadline };
    assert_eq!(order.wake(at(59), &POLICY), []);
    assert_eq!(bodies(order.wake(at(60), &POLICY)), std::slice::from_ref(&request));
    let mut repeats = Vec::new();
    for second in 61..120 {
        if !order.wake(at(second), &POLICY).is_empty() {
            repeats.push(second);
        }
    }
    assert_eq!(repeats, [65, 75, 90, 105]);
    order.learn(Fact::Payment(Payment::Voided), at(130));
    let failed = EventBody::OrderFailed { reason: FailureReason::DeadlineExceeded };
    assert_eq!(bodies(order.learn(Fact::Stock(Stock::Released), at(131))), [failed]);
}

#[test]
fn an_overdue_hold_gets_the_last_decision_again() {
    let mut order = order();
    assert_eq!(order.outcome_event(), None);
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    let mut cancelled = order.clone();
    cancelled.cancel(at(2), &POLICY).unwrap();
    let request = EventBody::OrderCancelRequested { reason: CancelReason::Customer };
    assert_eq!(cancelled.outcome_event().map(|event| event.body), Some(request));
    order.learn(Fact::Payment(Payment::Authorized), at(2));
    assert_eq!(order.outcome_event().map(|event| event.body), Some(EventBody::OrderConfirmed));
}
