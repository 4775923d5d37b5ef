//! Refunding.

use uuid::Uuid;

use super::{
    super::{DeclineCode, Outcome, RefundKey},
    under_test::{Case, GatewayUnderTest, done},
};

pub(super) async fn check(under_test: &dyn GatewayUnderTest) {
    each_key_refunds_once(under_test).await;
    no_more_is_refunded_than_was_captured(under_test).await;
    a_key_is_for_one_amount(under_test).await;
    only_what_is_captured_is_refunded(under_test).await;
    a_late_repetition_refunds_nothing_more(under_test).await;
}

fn key() -> RefundKey {
    RefundKey(Uuid::now_v7())
}

async fn each_key_refunds_once(under_test: &dyn GatewayUnderTest) {
    let case = Case::captured(under_test).await;
    let keys = [key(), key()];
    for (key, refunded) in keys.into_iter().zip([3, 6]) {
        let refund = async |case: &Case<'_>| case.gateway().refund(&case.current, key, case.part(3)).await;
        for outcome in case.at_once(refund).await {
            assert!(matches!(outcome, Outcome::Done(()) | Outcome::RetryLater { .. }), "at the same time: {outcome:?}");
        }
        done(refund(&case).await, "refund again");
        case.assert_moved(0, case.units(), refunded, "each key refunds once").await;
    }
    let refunds = case.found().await.refunds;
    let found: Vec<_> = refunds.iter().map(|refund| (refund.key, refund.amount)).collect();
    assert_eq!(found, keys.map(|key| (key, case.part(3))), "the refunds that are found");
}

async fn no_more_is_refunded_than_was_captured(under_test: &dyn GatewayUnderTest) {
    let case = Case::captured(under_test).await;
    done(case.gateway().refund(&case.current, key(), case.part(1)).await, "refund a part");
    match case.gateway().refund(&case.current, key(), case.part(case.units())).await {
        Outcome::Declined(decline) => assert_eq!(decline.code, DeclineCode::OverCaptured, "{decline:?}"),
        outcome => panic!("refund more than is left: {outcome:?}"),
    }
    done(case.gateway().refund(&case.current, key(), case.part(case.units() - 1)).await, "refund the rest");
    let outcome = case.gateway().refund(&case.current, key(), case.part(1)).await;
    assert!(matches!(outcome, Outcome::Declined(_)), "refund when nothing is left: {outcome:?}");
    case.assert_moved(0, case.units(), case.units(), "no more is refunded than was captured").await;
}

async fn a_key_is_for_one_amount(under_test: &dyn GatewayUnderTest) {
    let (case, key) = (Case::captured(under_test).await, key());
    done(case.gateway().refund(&case.current, key, case.part(2)).await, "refund");
    match case.gateway().refund(&case.current, key, case.part(3)).await {
        Outcome::Declined(decline) => assert_eq!(decline.code, DeclineCode::KeyReused, "{decline:?}"),
        outcome => panic!("the same key with another amount: {outcome:?}"),
    }
    case.assert_moved(0, case.units(), 2, "the first amount counts").await;
}

async fn only_what_is_captured_is_refunded(under_test: &dyn GatewayUnderTest) {
    let case = Case::authorized(under_test).await;
    let outcome = case.gateway().refund(&case.current, key(), case.part(1)).await;
    assert!(matches!(outcome, Outcome::Declined(_)), "refund what is not captured: {outcome:?}");
    case.assert_moved(case.units(), 0, 0, "an authorization is not refunded").await;
}

async fn a_late_repetition_refunds_nothing_more(under_test: &dyn GatewayUnderTest) {
    let (case, key) = (Case::captured(under_test).await, key());
    done(case.gateway().refund(&case.current, key, case.part(2)).await, "refund");
    under_test.forget_keys().await;
    done(case.gateway().refund(&case.current, key, case.part(2)).await, "refund late");
    case.assert_moved(0, case.units(), 2, "a late repetition refunds nothing more").await;
}
