//! Preparing, authorizing and voiding.

use uuid::Uuid;

use super::{
    super::{DeclineCode, GatewayState, Lookup, Outcome, PaymentRequest, Reference},
    under_test::{Case, GatewayUnderTest, done},
};
use crate::domain::PaymentKey;

pub(super) async fn check(under_test: &dyn GatewayUnderTest) {
    preparing_charges_nothing_and_is_repeatable(under_test).await;
    an_authorization_holds_the_amount_once(under_test).await;
    a_decline_is_repeated(under_test).await;
    a_void_gives_the_amount_back_and_is_repeatable(under_test).await;
    a_void_is_final(under_test).await;
    a_void_and_an_authorization_that_cross_hold_nothing(under_test).await;
    what_is_not_known_is_not_found(under_test).await;
}

async fn preparing_charges_nothing_and_is_repeatable(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.accepted()).await;
    for again in case.at_once(async |case| case.gateway().prepare(&case.request).await).await {
        assert_eq!(done(again, "prepare again"), case.reference, "the same key has the same reference");
    }
    case.assert_moved(0, 0, 0, "a prepared payment charges nothing").await;
    case.assert_state(&GatewayState::Prepared, "of a prepared payment").await;
    let other = PaymentRequest { amount: case.part(case.units() - 1), ..case.request.clone() };
    match case.gateway().prepare(&other).await {
        Outcome::Declined(decline) => assert_eq!(decline.code, DeclineCode::KeyReused, "{decline:?}"),
        // An adapter whose references depend on the content need not remember the key: nothing is charged.
        Outcome::Done(_) => case.assert_moved(0, 0, 0, "the same key with other content charges nothing").await,
        outcome => panic!("the same key with other content: {outcome:?}"),
    }
    let by_key = done(case.gateway().lookup(Lookup::Key(case.request.key)).await, "lookup by key");
    assert!(by_key.is_some(), "a payment is found by its key");
}

async fn an_authorization_holds_the_amount_once(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.accepted()).await;
    for outcome in case.at_once(async |case| case.gateway().authorize(&case.reference).await).await {
        // A gateway may refuse a call for as long as another one for the same payment runs.
        assert!(matches!(outcome, Outcome::Done(()) | Outcome::RetryLater { .. }), "at the same time: {outcome:?}");
    }
    done(case.gateway().authorize(&case.reference).await, "authorize again");
    case.assert_moved(case.units(), 0, 0, "an authorization holds the amount once").await;
    case.assert_state(&GatewayState::Authorized, "of an authorized payment").await;
    let by_key = done(case.gateway().lookup(Lookup::Key(case.request.key)).await, "lookup by key");
    assert_eq!(by_key.map(|payment| payment.state), Some(GatewayState::Authorized), "by its key");
}

async fn a_decline_is_repeated(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.refused()).await;
    for _ in 0..2 {
        let outcome = case.gateway().authorize(&case.reference).await;
        assert!(matches!(outcome, Outcome::Declined(_)), "an amount that is refused: {outcome:?}");
    }
    case.assert_moved(0, 0, 0, "a decline holds nothing").await;
    let state = case.found().await.state;
    assert!(matches!(state, GatewayState::Declined(_)), "of a declined payment: {state:?}");
    let captured = case.gateway().capture(&case.reference).await;
    assert!(matches!(captured, Outcome::Declined(_)), "nothing to capture: {captured:?}");
    done(case.gateway().void(&case.reference).await, "void a declined payment");
    case.assert_moved(0, 0, 0, "a decline holds nothing later either").await;
}

async fn a_void_gives_the_amount_back_and_is_repeatable(under_test: &dyn GatewayUnderTest) {
    let case = Case::authorized(under_test).await;
    for outcome in case.at_once(async |case| case.gateway().void(&case.reference).await).await {
        assert!(matches!(outcome, Outcome::Done(()) | Outcome::RetryLater { .. }), "at the same time: {outcome:?}");
    }
    done(case.gateway().void(&case.reference).await, "void again");
    case.assert_moved(0, 0, 0, "a void gives the amount back").await;
    case.assert_state(&GatewayState::Voided, "of a voided payment").await;
}

async fn a_void_is_final(under_test: &dyn GatewayUnderTest) {
    let authorized = Case::authorized(under_test).await;
    let prepared = Case::prepared(under_test, under_test.accepted()).await;
    for case in [authorized, prepared] {
        done(case.gateway().void(&case.reference).await, "void");
        let outcome = case.gateway().authorize(&case.reference).await;
        assert!(matches!(outcome, Outcome::Declined(_)), "authorize what is voided: {outcome:?}");
        let outcome = case.gateway().capture(&case.reference).await;
        assert!(matches!(outcome, Outcome::Declined(_)), "capture what is voided: {outcome:?}");
        case.assert_moved(0, 0, 0, "a void is final").await;
    }
}

async fn a_void_and_an_authorization_that_cross_hold_nothing(under_test: &dyn GatewayUnderTest) {
    for void_first in [true, false] {
        let case = Case::prepared(under_test, under_test.accepted()).await;
        let void = || case.gateway().void(&case.reference);
        let authorize = || case.gateway().authorize(&case.reference);
        if void_first {
            futures::join!(void(), authorize());
        } else {
            futures::join!(authorize(), void());
        }
        done(void().await, "void after both");
        case.assert_moved(0, 0, 0, "a void and an authorization that cross hold nothing").await;
    }
}

async fn what_is_not_known_is_not_found(under_test: &dyn GatewayUnderTest) {
    let gateway = under_test.gateway();
    let by_key = gateway.lookup(Lookup::Key(PaymentKey(Uuid::now_v7()))).await;
    assert_eq!(done(by_key, "lookup of an unknown key"), None);
    let unknown = Reference("unknown".to_owned());
    assert_eq!(done(gateway.lookup(Lookup::Reference(&unknown)).await, "lookup of an unknown reference"), None);
    let outcome = gateway.authorize(&unknown).await;
    assert!(matches!(outcome, Outcome::Declined(_)), "authorize an unknown reference: {outcome:?}");
}
