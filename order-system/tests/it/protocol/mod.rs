//! Searches the protocol exhaustively, using the services' own decision code: every order of arrival, every answer of
//! the gateway at any time, a cancellation or the deadline at any moment, and lost messages.

mod search;
mod state;

use std::collections::BTreeMap;

use order::domain::Status;
use shared_events::FailureReason;

use self::{
    search::search,
    state::{Action, Chances, Next, State, saga},
};

const NONE: Chances =
    Chances { losses: 0, cancels: 0, clocks: true, crashes: 0, expires: false, refunds: 0, reversals: 0 };
const LOSSES: Chances = Chances { losses: 2, cancels: 1, ..NONE };

fn statuses(ends: &BTreeMap<String, usize>) -> Vec<&str> {
    ends.keys().map(String::as_str).collect()
}

#[test]
fn every_way_of_a_paid_order_ends_well() {
    let ends = search(State::start(1, Some(2), LOSSES, 2), true);
    assert_eq!(statuses(&ends), ["CANCELLED", "CONFIRMED", "FAILED"]);
}

#[test]
fn every_way_of_a_declined_order_ends_well() {
    let ends = search(State::start(1, Some(2), LOSSES, 2), false);
    assert_eq!(statuses(&ends), ["CANCELLED", "FAILED"]);
}

#[test]
fn every_way_of_an_order_without_stock_ends_well() {
    for in_stock in [Some(1), None] {
        let ends = search(State::start(1, in_stock, LOSSES, 2), true);
        assert_eq!(statuses(&ends), ["CANCELLED", "FAILED"]);
    }
}

/// Then the order is confirmed, and shows that its payment could not be captured.
#[test]
fn every_way_of_a_payment_that_expires_before_its_capture_ends_well() {
    let chances = Chances { losses: 1, expires: true, ..NONE };
    let ends = search(State::start(1, Some(2), chances, 2), true);
    assert_eq!(statuses(&ends), ["CONFIRMED", "CONFIRMED (capture failed)", "FAILED"]);
}

/// A refund may be requested before the stock is sold and the payment captured.
#[test]
fn every_way_of_a_refund_ends_well() {
    let chances = Chances { losses: 1, refunds: 1, ..NONE };
    // Duplicates come only from repetitions, so that there are not too many states.
    let ends = search(State::start(1, Some(2), chances, 1), true);
    assert_eq!(statuses(&ends), ["CONFIRMED", "CONFIRMED (150 USD back)", "FAILED"]);
}

#[test]
fn every_way_of_two_refunds_of_a_captured_payment_ends_well() {
    let mut state = without_clocks(State::start(1, Some(2), NONE, 2), true);
    state.chances = Chances { losses: 1, refunds: 2, ..NONE };
    state.copies = 1;
    let ends = search(state, true);
    assert_eq!(statuses(&ends), ["CONFIRMED", "CONFIRMED (150 USD back)", "CONFIRMED (200 USD back)"]);
}

/// Its goods come back all the same, once, and another refund can take its amount; or that of the rest was requested
/// before.
#[test]
fn every_way_of_a_refund_that_fails_after_it_was_accepted_ends_well() {
    for (losses, refunds, expected) in [
        (1, 1, &["CONFIRMED", "CONFIRMED (150 USD back)"][..]),
        (0, 2, &["CONFIRMED", "CONFIRMED (150 USD back)", "CONFIRMED (200 USD back)", "CONFIRMED (50 USD back)"]),
    ] {
        let mut state = without_clocks(State::start(1, Some(2), NONE, 2), true);
        state.chances = Chances { losses, refunds, reversals: 1, ..NONE };
        state.copies = 1;
        let ends = search(state, true);
        assert_eq!(statuses(&ends), expected);
    }
}

#[test]
fn every_way_of_a_refund_of_a_payment_that_may_expire_ends_well() {
    let chances = Chances { refunds: 1, expires: true, ..NONE };
    let ends = search(State::start(1, Some(2), chances, 1), true);
    let expected = ["CONFIRMED", "CONFIRMED (150 USD back)", "CONFIRMED (capture failed)", "FAILED"];
    assert_eq!(statuses(&ends), expected);
}

/// A crash loses the gateway's answer.
#[test]
fn every_way_of_a_payment_that_is_asked_for_again_ends_well() {
    for accepts in [true, false] {
        let chances = Chances { cancels: 1, crashes: 2, ..NONE };
        let ends = search(State::start(1, Some(2), chances, 2), accepts);
        assert_eq!(ends.contains_key("CONFIRMED"), accepts);
    }
}

/// Covers every order of arrival of both orders' messages, and a cancellation of either at any moment.
#[test]
fn of_two_orders_for_the_last_item_at_most_one_is_confirmed() {
    for cancels in [0, 1] {
        let chances = Chances { cancels, clocks: false, ..NONE };
        let ends = search(State::start(2, Some(2), chances, 2), true);
        assert_eq!(cancels == 0, !ends.keys().any(|end| end.contains("CANCELLED")), "{ends:?}");
        assert!(!ends.contains_key("CONFIRMED CONFIRMED"), "{ends:?}");
        for end in ["CONFIRMED FAILED", "FAILED CONFIRMED"] {
            assert!(ends.contains_key(end), "{ends:?}");
        }
    }
}

/// Takes every step except those of the clocks, one after the other, until there is none left.
fn without_clocks(mut state: State, accepts: bool) -> State {
    loop {
        let by_itself = |next: &Next| {
            next.action.as_ref().is_some_and(|action| {
                matches!(action, Action::Deliver(_) | Action::AskGateway(..) | Action::HandleAnswer(..))
            })
        };
        match state.all_next(accepts).into_iter().find(by_itself) {
            Some(next) => state = next.state,
            None => return state,
        }
    }
}

#[test]
fn without_losses_and_cancellations_an_order_ends_in_one_way() {
    for (in_stock, accepts, status, why) in [
        (Some(2), true, Status::Confirmed, None),
        (Some(2), false, Status::Failed, Some(FailureReason::PaymentDeclined)),
        (Some(1), true, Status::Failed, Some(FailureReason::InsufficientStock)),
        (None, true, Status::Failed, Some(FailureReason::UnknownItem)),
    ] {
        let state = without_clocks(State::start(1, in_stock, NONE, 2), accepts);
        assert!(state.is_quiet_end(), "{state:#?}");
        let order = &state.world.orders[&saga(1)];
        assert_eq!((order.status(), order.facts.failure_reason()), (status, why));
    }
}

#[test]
fn of_two_orders_for_the_last_item_one_is_confirmed_if_nothing_is_in_the_way() {
    let state = without_clocks(State::start(2, Some(2), NONE, 2), true);
    assert!(state.is_quiet_end(), "{state:#?}");
    let confirmed = state.world.orders.values().filter(|order| order.status() == Status::Confirmed);
    assert_eq!(confirmed.count(), 1);
}
