//! Searches the protocol exhaustively, using the services' own decision code: every order of arrival, every answer of
//! the gateway at any time, a cancellation or the deadline at any moment, and lost messages.

mod search;
mod state;

use std::collections::BTreeMap;

use order::domain::Status;
use payment::domain::Answer;
use shared_events::FailureReason;

use self::{
    search::search,
    state::{Action, Chances, Next, State, saga},
};

const NONE: Chances = Chances { losses: 0, cancels: 0, clocks: true, crashes: 0 };
const LOSSES: Chances = Chances { losses: 2, cancels: 1, ..NONE };

fn yes() -> Answer {
    Answer::Authorized { reference: "reference".to_owned() }
}

fn no() -> Answer {
    Answer::Declined { reason: "too much".to_owned() }
}

fn statuses(ends: &BTreeMap<String, usize>) -> Vec<&str> {
    ends.keys().map(String::as_str).collect()
}

#[test]
fn every_way_of_a_paid_order_ends_well() {
    let ends = search(State::start(1, Some(2), LOSSES, 2), &yes());
    assert_eq!(statuses(&ends), ["CANCELLED", "CONFIRMED", "FAILED"]);
}

#[test]
fn every_way_of_a_declined_order_ends_well() {
    let ends = search(State::start(1, Some(2), LOSSES, 2), &no());
    assert_eq!(statuses(&ends), ["CANCELLED", "FAILED"]);
}

#[test]
fn every_way_of_an_order_without_stock_ends_well() {
    for in_stock in [Some(1), None] {
        let ends = search(State::start(1, in_stock, LOSSES, 2), &yes());
        assert_eq!(statuses(&ends), ["CANCELLED", "FAILED"]);
    }
}

/// No messages are lost here: if a crash loses the gateway's answer, the call is repeated only as long as its message
/// still exists.
#[test]
fn every_way_of_a_payment_that_is_asked_for_again_ends_well() {
    for answer in [yes(), no()] {
        let chances = Chances { cancels: 1, crashes: 2, ..NONE };
        let ends = search(State::start(1, Some(2), chances, 2), &answer);
        assert_eq!(ends.contains_key("CONFIRMED"), answer == yes());
    }
}

/// Covers every order of arrival of both orders' messages, and a cancellation of either at any moment.
#[test]
fn of_two_orders_for_the_last_item_at_most_one_is_confirmed() {
    for cancels in [0, 1] {
        let chances = Chances { cancels, clocks: false, ..NONE };
        let ends = search(State::start(2, Some(2), chances, 2), &yes());
        assert_eq!(cancels == 0, !ends.keys().any(|end| end.contains("CANCELLED")), "{ends:?}");
        assert!(!ends.contains_key("CONFIRMED CONFIRMED"), "{ends:?}");
        for end in ["CONFIRMED FAILED", "FAILED CONFIRMED"] {
            assert!(ends.contains_key(end), "{ends:?}");
        }
    }
}

/// Takes every step except those of the clocks, one after the other, until there is none left.
fn without_clocks(mut state: State, answer: &Answer) -> State {
    loop {
        let by_itself = |next: &Next| {
            next.action
                .as_ref()
                .is_some_and(|action| !matches!(action, Action::OrderClock(_) | Action::InventoryClock(_)))
        };
        match state.all_next(answer).into_iter().find(by_itself) {
            Some(next) => state = next.state,
            None => return state,
        }
    }
}

#[test]
fn without_losses_and_cancellations_an_order_ends_in_one_way() {
    for (in_stock, answer, status, why) in [
        (Some(2), yes(), Status::Confirmed, None),
        (Some(2), no(), Status::Failed, Some(FailureReason::PaymentDeclined)),
        (Some(1), yes(), Status::Failed, Some(FailureReason::InsufficientStock)),
        (None, yes(), Status::Failed, Some(FailureReason::UnknownItem)),
    ] {
        let state = without_clocks(State::start(1, in_stock, NONE, 2), &answer);
        assert!(state.is_quiet_end(), "{state:#?}");
        let order = &state.world.orders[&saga(1)];
        assert_eq!((order.status(), order.facts.failure_reason()), (status, why));
    }
}

#[test]
fn of_two_orders_for_the_last_item_one_is_confirmed_if_nothing_is_in_the_way() {
    let state = without_clocks(State::start(2, Some(2), NONE, 2), &yes());
    assert!(state.is_quiet_end(), "{state:#?}");
    let confirmed = state.world.orders.values().filter(|order| order.status() == Status::Confirmed);
    assert_eq!(confirmed.count(), 1);
}
