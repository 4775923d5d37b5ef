use std::time::Duration;

use shared_events::EventType;
use uuid::Uuid;

use super::*;
use crate::domain::{Fact, NewOrder, Payment, Stock};

const POLICY: CancelPolicy = CancelPolicy {
    deadline: Duration::from_secs(60),
    first_repeat: Duration::from_secs(5),
    longest_repeat: Duration::from_secs(15),
};

fn at(second: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(second))
}

fn lines(of: &[(&str, i64)]) -> Lines {
    let line =
        |&(sku, units): &(&str, i64)| Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(units).unwrap() };
    Lines::new(of.iter().map(line)).unwrap()
}

/// A confirmed order of two A and one B for 100 dollars.
fn order() -> Order {
    let new = NewOrder {
        saga_id: SagaId(Uuid::from_u128(7)),
        owner: String::new(),
        lines: lines(&[("A", 2), ("B", 1)]),
        total: Money::from_minor_units(10_000, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: None,
    };
    let mut order = Order::place(new, OrderId(1), at(0), &POLICY).0;
    order.learn(Fact::Stock(Stock::Reserved), at(1));
    order.learn(Fact::Payment(Payment::Authorized), at(1));
    order
}

fn new(amount: Option<&str>, items: Option<&[(&str, i64)]>, restock: bool) -> NewRefund {
    NewRefund {
        refund_id: RefundId(Uuid::from_u128(9)),
        order_id: OrderId(1),
        amount: amount.map(str::to_owned),
        items: items.map(lines),
        restock,
        reason: None,
        idempotency_key: None,
    }
}

fn request(earlier: &[Refund], new: NewRefund) -> Result<Refund, RefundRefusal> {
    Refund::request(&order(), earlier.iter(), new, at(2), &POLICY).map(|(refund, event)| {
        assert_eq!(event.body.refund(), Some(&refund.details));
        refund
    })
}

fn ended(mut refund: Refund, failure: Option<RefundFailure>) -> Refund {
    let details = refund.details.clone();
    let event = match failure {
        None => EventBody::PaymentRefunded { refund: details },
        Some(reason) => EventBody::PaymentRefundFailed { refund: details, reason },
    };
    refund.learn(&event, at(3));
    refund
}

#[test]
fn without_an_amount_it_is_all_that_is_left() {
    let whole = request(&[], new(None, None, true)).unwrap();
    assert_eq!(
        (whole.details.amount.minor_units(), &whole.details.restock),
        (10_000, &Some(lines(&[("A", 2), ("B", 1)])))
    );
    let first = request(&[], new(Some("30"), Some(&[("A", 1)]), true)).unwrap();
    let rest = request(&[first], new(None, None, false)).unwrap();
    assert_eq!((rest.details.amount.minor_units(), rest.details.restock), (7_000, None));
    assert_eq!(rest.items, Some(lines(&[("A", 1), ("B", 1)])));
}

#[test]
fn never_more_than_the_order_is_refunded() {
    let first = request(&[], new(Some("60.00"), Some(&[("A", 2)]), false)).unwrap();
    let left = |refusal| matches!(refusal, RefundRefusal::TooMuch(left) if left.minor_units() == 4_000);
    let earlier = [first.clone()];
    assert!(left(request(&earlier, new(Some("40.01"), None, false)).unwrap_err()));
    assert!(request(&earlier, new(Some("40"), Some(&[("B", 1)]), true)).is_ok());
    let too_many = RefundRefusal::TooMany { sku: Sku::parse("A").unwrap(), left: 0 };
    assert_eq!(request(&earlier, new(Some("1"), Some(&[("A", 1)]), true)), Err(too_many));
    // One that has gone through still counts; one that failed does not.
    let done = [ended(first.clone(), None)];
    assert!(left(request(&done, new(Some("41"), None, false)).unwrap_err()));
    let failed = [ended(first, Some(RefundFailure::Declined))];
    assert_eq!(request(&failed, new(None, None, true)).unwrap().details.amount.minor_units(), 10_000);
    let whole = [request(&[], new(None, None, false)).unwrap()];
    assert_eq!(request(&whole, new(None, None, false)), Err(RefundRefusal::NothingLeft));
}

#[test]
fn the_number_of_refunds_is_limited_and_failed_ones_count() {
    let failed = ended(request(&[], new(Some("1"), None, false)).unwrap(), Some(RefundFailure::Declined));
    let mut earlier = vec![failed; MAX_REFUNDS - 1];
    earlier.push(request(&earlier, new(Some("1"), None, false)).unwrap());
    assert_eq!(request(&earlier, new(Some("1"), None, false)), Err(RefundRefusal::TooManyRefunds));
}

#[test]
fn what_cannot_be_decided_is_refused() {
    for (new, refusal) in [
        (new(None, Some(&[("A", 1)]), true), RefundRefusal::ItemsWithoutAmount),
        (new(Some("1"), None, true), RefundRefusal::RestockWithoutItems),
        (new(Some("0"), None, false), RefundRefusal::Amount(AmountError::NotPositive)),
        (new(Some("1.001"), None, false), RefundRefusal::Amount(AmountError::TooManyDecimals)),
        (new(Some("1"), Some(&[("C", 1)]), false), RefundRefusal::TooMany { sku: Sku::parse("C").unwrap(), left: 0 }),
    ] {
        assert_eq!(request(&[], new), Err(refusal));
    }
    let mut pending = order();
    pending.facts = crate::domain::Facts::default();
    let refused = Refund::request(&pending, [].iter(), new(None, None, false), at(2), &POLICY);
    assert_eq!(refused, Err(RefundRefusal::NotConfirmed(Status::Pending)));
}

#[test]
fn it_ends_once_the_money_and_the_goods_are_back() {
    let mut refund = request(&[], new(None, None, true)).unwrap();
    let (refunded, returned) = (
        EventBody::PaymentRefunded { refund: refund.details.clone() },
        EventBody::StockReturned { refund: refund.details.clone() },
    );
    for [first, second] in [[&refunded, &returned], [&returned, &refunded]] {
        let mut refund = refund.clone();
        refund.learn(first, at(4));
        assert!(!refund.has_ended() && refund.wake_at.is_some());
        refund.learn(second, at(5));
        refund.learn(first, at(6));
        assert_eq!((refund.has_ended(), refund.wake_at, refund.changed_at), (true, None, at(5)));
    }
    refund.learn(
        &EventBody::PaymentRefundFailed { refund: refund.details.clone(), reason: RefundFailure::NotCaptured },
        at(4),
    );
    refund.learn(&refunded, at(5));
    assert_eq!((refund.state, refund.has_ended()), (RefundState::Failed(RefundFailure::NotCaptured), true));
}

#[test]
fn it_may_fail_after_it_has_succeeded_and_its_goods_come_back_all_the_same() {
    let refund = request(&[], new(Some("30"), Some(&[("A", 1)]), true)).unwrap();
    let details = || refund.details.clone();
    let (refunded, returned) =
        (EventBody::PaymentRefunded { refund: details() }, EventBody::StockReturned { refund: details() });
    let reversed = EventBody::PaymentRefundFailed { refund: details(), reason: RefundFailure::Reversed };
    // Whatever is lost, twice, or late.
    for events in [
        &[&refunded, &reversed, &returned][..],
        &[&refunded, &returned, &reversed],
        &[&reversed, &returned],
        &[&returned, &reversed, &refunded, &reversed],
    ] {
        let (mut refund, mut order) = (refund.clone(), order());
        for event in events {
            let (changed, changed_order) = on_refund_event(&order, &refund, event, at(4));
            (refund, order) = (changed.unwrap_or(refund), changed_order.unwrap_or(order));
            let is_back = refund.state == RefundState::Succeeded;
            assert_eq!(order.refunded, if is_back { 3_000 } else { 0 }, "{events:?}");
            let has_both = refund.restocked && refund.state != RefundState::Requested;
            assert_eq!((refund.has_ended(), refund.wake_at.is_none()), (has_both, has_both), "{events:?}");
        }
        assert_eq!((refund.state, refund.restocked), (RefundState::Failed(RefundFailure::Reversed), true));
        // Its amount can be refunded again, and its goods cannot.
        let again = request(&[refund], new(None, None, true)).unwrap();
        assert_eq!(
            (again.details.amount, again.details.restock),
            (order.details.total, Some(lines(&[("A", 1), ("B", 1)])))
        );
    }
}

#[test]
fn its_request_is_repeated_until_it_is_answered() {
    let mut refund = request(&[], new(None, None, false)).unwrap();
    assert_eq!(refund.wake(at(6), &POLICY), None);
    for (now, next) in [(7, 17), (17, 32), (32, 47)] {
        assert_eq!(
            refund.wake(at(now), &POLICY).map(|event| event.body.event_type()),
            Some(EventType::RefundRequested)
        );
        assert_eq!(refund.wake_at, Some(at(next)));
    }
    let mut refund = ended(refund, None);
    assert_eq!(refund.wake(at(1_000), &POLICY), None);
}

#[test]
fn the_same_request_has_the_same_content() {
    let first = new(Some("30"), Some(&[("A", 1)]), true);
    let refund = request(&[], first.clone()).unwrap();
    assert!(refund.has_content_of(&NewRefund { amount: Some("30.00".to_owned()), ..first.clone() }));
    for other in [
        NewRefund { amount: Some("31".to_owned()), ..first.clone() },
        NewRefund { items: Some(lines(&[("B", 1)])), ..first.clone() },
        NewRefund { restock: false, ..first.clone() },
        NewRefund { reason: Some("broken".to_owned()), ..first },
    ] {
        assert!(!refund.has_content_of(&other), "{other:?}");
    }
}
