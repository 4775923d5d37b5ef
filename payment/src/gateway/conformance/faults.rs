//! Lost answers, and repetitions after the gateway has forgotten its keys.

use uuid::Uuid;

use super::{
    super::{GatewayState, Lookup, Outcome, RefundKey},
    under_test::{Case, GatewayUnderTest, done},
};

pub(super) async fn check(under_test: &dyn GatewayUnderTest) {
    a_lost_answer_is_unknown_and_a_lookup_tells(under_test).await;
    a_payment_whose_reference_was_lost_is_found_by_its_key(under_test).await;
    a_lost_refund_is_found_and_not_repeated(under_test).await;
    late_repetitions_charge_nothing_more(under_test).await;
}

async fn a_lost_answer_is_unknown_and_a_lookup_tells(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.accepted()).await;
    under_test.lose_next_answer().await;
    assert_unknown(&case.gateway().authorize(&case.reference).await, "authorize");
    case.assert_state(&GatewayState::Authorized, "after a lost answer to an authorization").await;
    done(case.gateway().authorize(&case.reference).await, "authorize after a lost answer");
    case.assert_moved(case.units(), 0, 0, "a lost answer holds nothing more").await;

    under_test.lose_next_answer().await;
    assert_unknown(&case.gateway().capture(&case.reference).await, "capture");
    case.assert_state(&GatewayState::Captured, "after a lost answer to a capture").await;
    let found = case.found().await.reference;
    assert_eq!(done(case.gateway().capture(&case.reference).await, "capture after a lost answer"), found);
    case.assert_moved(0, case.units(), 0, "a lost answer takes nothing more").await;

    let case = Case::authorized(under_test).await;
    under_test.lose_next_answer().await;
    assert_unknown(&case.gateway().void(&case.reference).await, "void");
    case.assert_state(&GatewayState::Voided, "after a lost answer to a void").await;
    done(case.gateway().void(&case.reference).await, "void after a lost answer");
    case.assert_moved(0, 0, 0, "a lost answer to a void holds nothing").await;
}

async fn a_payment_whose_reference_was_lost_is_found_by_its_key(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.accepted()).await;
    under_test.lose_next_answer().await;
    assert_unknown(&case.gateway().prepare(&case.request).await, "prepare");
    let found = done(case.gateway().lookup(Lookup::Key(case.request.key)).await, "lookup by key");
    assert_eq!(found.map(|payment| payment.reference), Some(case.reference.clone()), "by its key");
    case.assert_moved(0, 0, 0, "a lost reference charges nothing").await;
}

async fn a_lost_refund_is_found_and_not_repeated(under_test: &dyn GatewayUnderTest) {
    let (case, key) = (Case::captured(under_test).await, RefundKey(Uuid::now_v7()));
    under_test.lose_next_answer().await;
    assert_unknown(&case.gateway().refund(&case.current, key, case.part(4)).await, "refund");
    let refunds = case.found().await.refunds;
    assert!(refunds.iter().any(|refund| refund.key == key && refund.amount == case.part(4)), "{refunds:?}");
    done(case.gateway().refund(&case.current, key, case.part(4)).await, "refund after a lost answer");
    case.assert_moved(0, case.units(), 4, "a lost answer refunds nothing more").await;
}

async fn late_repetitions_charge_nothing_more(under_test: &dyn GatewayUnderTest) {
    let (authorized, captured) = (Case::authorized(under_test).await, Case::captured(under_test).await);
    let voided = Case::authorized(under_test).await;
    done(voided.gateway().void(&voided.reference).await, "void");
    under_test.forget_keys().await;
    for case in [&authorized, &captured, &voided] {
        // It may have another reference now, for which nothing is charged.
        done(case.gateway().prepare(&case.request).await, "prepare late");
    }
    done(authorized.gateway().authorize(&authorized.reference).await, "authorize late");
    authorized.assert_moved(authorized.units(), 0, 0, "late repetitions hold nothing more").await;
    done(captured.gateway().authorize(&captured.reference).await, "authorize late");
    assert_eq!(done(captured.gateway().capture(&captured.reference).await, "capture late"), captured.current);
    captured.assert_moved(0, captured.units(), 0, "late repetitions take nothing more").await;
    let outcome = voided.gateway().authorize(&voided.reference).await;
    assert!(matches!(outcome, Outcome::Declined(_)), "authorize late what is voided: {outcome:?}");
    voided.assert_moved(0, 0, 0, "a void stays final").await;
}

fn assert_unknown(outcome: &Outcome<impl std::fmt::Debug>, what: &str) {
    assert!(matches!(outcome, Outcome::Unknown(_)), "{what}: the answer was lost, but the outcome is {outcome:?}");
}
