use super::*;

const STOCKS: [Stock; 5] = [
    Stock::Unknown,
    Stock::Reserved,
    Stock::Released,
    Stock::Rejected(FailureReason::InsufficientStock),
    Stock::Rejected(FailureReason::UnknownItem),
];
const PAYMENTS: [Payment; 4] =
    [Payment::Unknown, Payment::Authorized, Payment::Voided, Payment::Declined(FailureReason::PaymentDeclined)];
const CANCELS: [Cancel; 3] =
    [Cancel::No, Cancel::Requested(CancelReason::Customer), Cancel::Requested(CancelReason::Deadline)];
const CAPTURES: [Capture; 3] = [Capture::Unknown, Capture::Failed, Capture::Captured];

fn every_combination() -> impl Iterator<Item = Facts> {
    let all = STOCKS.into_iter().flat_map(|stock| PAYMENTS.into_iter().map(move |payment| (stock, payment)));
    let all = all.flat_map(|both| CANCELS.into_iter().map(move |cancel| (both, cancel)));
    all.flat_map(|((stock, payment), cancel)| {
        CAPTURES.into_iter().map(move |capture| Facts { stock, payment, cancel, capture })
    })
}

/// The table of `docs/saga.md`, implemented a second time and differently: the first row that matches counts.
fn table(facts: Facts) -> Status {
    let live_stock = facts.stock < Stock::Released;
    let live_payment = facts.payment < Payment::Voided;
    let declined = matches!(facts.payment, Payment::Declined(_));
    if facts.cancel != Cancel::No {
        return match facts.cancel {
            _ if live_stock || live_payment => Status::Compensating,
            Cancel::Requested(CancelReason::Customer) => Status::Cancelled,
            _ => Status::Failed,
        };
    }
    if matches!(facts.stock, Stock::Rejected(_)) {
        Status::Failed
    } else if facts.stock == Stock::Reserved && facts.payment == Payment::Authorized {
        Status::Confirmed
    } else if declined && live_stock {
        Status::Compensating
    } else if declined {
        Status::Failed
    } else {
        Status::Pending
    }
}

#[test]
fn the_status_follows_the_table_for_every_combination_of_facts() {
    assert_eq!(every_combination().count(), 180);
    for facts in every_combination() {
        assert_eq!(facts.status(), table(facts), "{facts:?}");
    }
}

#[test]
fn the_order_of_arrival_and_duplicates_do_not_matter() {
    let all = STOCKS.into_iter().map(Fact::Stock).chain(PAYMENTS.into_iter().map(Fact::Payment));
    let all: Vec<Fact> = all.chain(CAPTURES.into_iter().map(Fact::Capture)).collect();
    for facts in every_combination() {
        for &one in &all {
            assert_eq!(facts.learn(one).learn(one), facts.learn(one));
            assert!(facts.learn(one) >= facts, "facts only move forward");
            for &other in &all {
                assert_eq!(facts.learn(one).learn(other), facts.learn(other).learn(one));
            }
        }
    }
}

#[test]
fn what_is_known_about_the_capture_changes_neither_status_nor_payment_status() {
    for facts in every_combination() {
        let without = Facts { capture: Capture::Unknown, ..facts };
        assert_eq!(
            (facts.status(), facts.payment_status(), facts.failure_reason(), facts.final_event()),
            (without.status(), without.payment_status(), without.failure_reason(), without.final_event())
        );
        assert_eq!(facts.awaits_capture(), facts == without && facts.status() == Status::Confirmed, "{facts:?}");
    }
}

#[test]
fn a_failed_or_cancelled_order_has_nothing_held_or_paid() {
    for facts in every_combination().filter(|facts| matches!(facts.status(), Status::Failed | Status::Cancelled)) {
        assert_ne!(facts.stock, Stock::Reserved, "{facts:?}");
        // The stock is reserved before the payment: if it was rejected, only a forged event can report a payment.
        if !matches!(facts.stock, Stock::Rejected(_)) {
            assert_ne!(facts.payment, Payment::Authorized, "{facts:?}");
        }
        assert_eq!(facts.failure_reason().is_some(), facts.status() == Status::Failed, "{facts:?}");
    }
}

#[test]
fn the_payment_status_follows_the_table() {
    let of = |stock, payment, cancel| Facts { stock, payment, cancel, ..Facts::default() }.payment_status();
    let rejected = Stock::Rejected(FailureReason::InsufficientStock);
    let declined = Payment::Declined(FailureReason::PaymentDeclined);
    let cancelled = Cancel::Requested(CancelReason::Customer);
    assert_eq!(of(Stock::Unknown, Payment::Unknown, Cancel::No), PaymentStatus::Pending);
    assert_eq!(of(rejected, Payment::Unknown, Cancel::No), PaymentStatus::NotAttempted);
    assert_eq!(of(Stock::Reserved, Payment::Authorized, Cancel::No), PaymentStatus::Succeeded);
    assert_eq!(of(Stock::Reserved, declined, Cancel::No), PaymentStatus::Failed);
    assert_eq!(of(Stock::Released, declined, Cancel::No), PaymentStatus::Failed);
    assert_eq!(of(Stock::Released, Payment::Voided, cancelled), PaymentStatus::Voided);
    assert_eq!(of(rejected, Payment::Voided, cancelled), PaymentStatus::NotAttempted);
}
