//! Capturing.

use super::{
    super::{DeclineCode, GatewayState, Lookup, Outcome},
    under_test::{Case, GatewayUnderTest, done},
};

pub(super) async fn check(under_test: &dyn GatewayUnderTest) {
    a_capture_takes_the_amount_once(under_test).await;
    what_is_captured_is_not_voided(under_test).await;
    only_what_is_authorized_is_captured(under_test).await;
    a_void_and_a_capture_that_cross_do_one_of_both(under_test).await;
}

async fn a_capture_takes_the_amount_once(under_test: &dyn GatewayUnderTest) {
    let mut case = Case::authorized(under_test).await;
    let at_once = case.at_once(async |case| case.gateway().capture(&case.reference).await).await;
    case.current = done(case.gateway().capture(&case.reference).await, "capture again");
    for outcome in at_once {
        match outcome {
            Outcome::Done(reference) => assert_eq!(reference, case.current, "each capture returns the same reference"),
            outcome => assert!(matches!(outcome, Outcome::RetryLater { .. }), "at the same time: {outcome:?}"),
        }
    }
    case.assert_moved(0, case.units(), 0, "a capture takes the amount once").await;
    let found = case.found().await;
    assert_eq!((found.state, &found.reference), (GatewayState::Captured, &case.current), "of a captured payment");
    let by_key = done(case.gateway().lookup(Lookup::Key(case.request.key)).await, "lookup by key");
    assert_eq!(by_key.map(|payment| payment.reference).as_ref(), Some(&case.current), "by its key");
    done(case.gateway().authorize(&case.reference).await, "authorize what is captured");
    case.assert_moved(0, case.units(), 0, "a late authorization holds nothing more").await;
}

async fn what_is_captured_is_not_voided(under_test: &dyn GatewayUnderTest) {
    let case = Case::captured(under_test).await;
    match case.gateway().void(&case.reference).await {
        Outcome::Declined(decline) => assert_eq!(decline.code, DeclineCode::AlreadyCaptured, "{decline:?}"),
        outcome => panic!("void what is captured: {outcome:?}"),
    }
    case.assert_moved(0, case.units(), 0, "a captured payment is not voided").await;
}

async fn only_what_is_authorized_is_captured(under_test: &dyn GatewayUnderTest) {
    let case = Case::prepared(under_test, under_test.accepted()).await;
    match case.gateway().capture(&case.reference).await {
        Outcome::Declined(decline) => assert_eq!(decline.code, DeclineCode::NotAuthorized, "{decline:?}"),
        outcome => panic!("capture what is not authorized: {outcome:?}"),
    }
    case.assert_moved(0, 0, 0, "nothing is taken that is not authorized").await;
}

async fn a_void_and_a_capture_that_cross_do_one_of_both(under_test: &dyn GatewayUnderTest) {
    let case = Case::authorized(under_test).await;
    futures::join!(case.gateway().void(&case.reference), case.gateway().capture(&case.reference));
    // Either may have been refused for as long as the other ran.
    let (voided, captured) =
        (case.gateway().void(&case.reference).await, case.gateway().capture(&case.reference).await);
    match (&voided, &captured) {
        (Outcome::Done(()), Outcome::Declined(_)) => case.assert_moved(0, 0, 0, "it is voided").await,
        (Outcome::Declined(_), Outcome::Done(_)) => case.assert_moved(0, case.units(), 0, "it is captured").await,
        both => panic!("a void and a capture that cross: {both:?}"),
    }
}
