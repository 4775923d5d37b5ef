//! Every event in every state.

use shared_events::{EventBody, EventType, EventType as E, FailureReason, OrderDetails};

use super::{super::Rejection, *};

/// An order of 2 A and 3 B, with 10 of each in stock, and its reservation in each state.
fn every_state() -> Vec<(&'static str, OrderDetails, World)> {
    let known = order(1, [line("A", 2), line("B", 3)]);
    let world = World::with(&[("A", 10), ("B", 10)]);
    let [created, declined, confirmed, cancel] =
        [E::OrderCreated, E::PaymentFailed, E::OrderConfirmed, E::OrderCancelRequested].map(body);
    let after = |order: &OrderDetails, bodies: &[&EventBody]| {
        let mut world = world.clone();
        bodies.iter().for_each(|body| drop(world.handle(order, (*body).clone(), at(0)).unwrap()));
        world
    };
    let too_much = order(1, [line("A", 2), line("B", 11)]);
    vec![
        ("none", known.clone(), after(&known, &[])),
        ("held", known.clone(), after(&known, &[&created])),
        ("released", known.clone(), after(&known, &[&created, &declined])),
        ("sold", known.clone(), after(&known, &[&created, &confirmed])),
        ("rejected", too_much.clone(), after(&too_much, &[&created])),
        ("cancelled", known.clone(), after(&known, &[&cancel])),
    ]
}

fn name(state: Option<&State>) -> &'static str {
    match state {
        None => "none",
        Some(State::Held) => "held",
        Some(State::Released) => "released",
        Some(State::Sold) => "sold",
        Some(State::Rejected(_)) => "rejected",
        Some(State::Cancelled) => "cancelled",
    }
}

/// For a state and an event: the next state and the published event, if any. `None` if the event is impossible.
fn table(state: &'static str, event: EventType) -> Option<(&'static str, &'static str)> {
    match (event, state) {
        (E::OrderCreated, "none") => Some(("held", "StockReserved")),
        (E::OrderCreated, _) => Some((state, "")),
        (E::PaymentFailed, "none") => Some(("cancelled", "StockReleased")),
        (E::PaymentFailed, "held") => Some(("released", "StockReleased")),
        (E::PaymentFailed, "released" | "rejected" | "cancelled") => Some((state, "")),
        (E::OrderConfirmed, "held") => Some(("sold", "")),
        (E::OrderConfirmed, "sold") => Some(("sold", "")),
        (E::OrderCancelRequested, "none") => Some(("cancelled", "StockReleased")),
        (E::OrderCancelRequested, "held") => Some(("released", "StockReleased")),
        (E::OrderCancelRequested, "released" | "rejected" | "cancelled") => Some((state, "StockReleased")),
        // Its `OrderConfirmed` is still under way.
        (E::PaymentRefunded, "held" | "sold") => Some(("sold", "StockReturned")),
        _ => None,
    }
}

#[test]
fn every_event_in_every_state_follows_the_table() {
    for (state, order, before) in every_state() {
        assert_eq!(name(before.of(&order).map(|one| &one.state)), state);
        before.assert_consistent();
        for body in every_body() {
            let event = body.event_type();
            let mut after = before.clone();
            let result = after.handle(&order, body.clone(), at(5));
            let now = name(after.of(&order).map(|one| &one.state));
            let outcome =
                result.as_ref().ok().map(|event| (now, event.as_ref().map(|body| body.event_type().to_string())));
            let expected =
                table(state, event).map(|(now, event)| (now, Some(event.to_owned()).filter(|event| !event.is_empty())));
            assert_eq!(outcome, expected, "{event} while {state}");
            after.assert_consistent();
            let numbers = match now {
                "held" => [(8, 2, 0), (7, 3, 0)],
                "sold" if event == E::PaymentRefunded => [(8, 0, 2), (8, 0, 2)],
                "sold" => [(8, 0, 2), (7, 0, 3)],
                _ => [(10, 0, 0), (10, 0, 0)],
            };
            assert_eq!([after.numbers("A"), after.numbers("B")], numbers, "{event} while {state}");
            // A duplicate changes nothing more.
            let once = after.clone();
            let again = after.handle(&order, body, at(9));
            assert_eq!((again.is_ok(), &after), (result.is_ok(), &once), "{event} twice while {state}");
        }
    }
}

#[test]
fn an_impossible_event_is_refused_with_the_reason() {
    let why = |state: &str, body: &EventBody| {
        let (_, order, mut world) = every_state().into_iter().find(|(name, ..)| *name == state).unwrap();
        world.handle(&order, body.clone(), at(5)).unwrap_err().to_string()
    };
    let [reserved, declined, confirmed, cancel, refunded] =
        [E::StockReserved, E::PaymentFailed, E::OrderConfirmed, E::OrderCancelRequested, E::PaymentRefunded].map(body);
    assert_eq!(why("sold", &declined), "PaymentFailed, but the stock is sold: the order was confirmed before");
    assert_eq!(why("sold", &cancel), "OrderCancelRequested, but the stock is sold: the order was confirmed before");
    for (state, reason) in [
        ("none", "there is no reservation"),
        ("released", "it was released"),
        ("rejected", "it was rejected"),
        ("cancelled", "it was cancelled before OrderCreated arrived"),
    ] {
        let expected = format!("OrderConfirmed, but no stock is held for the order: {reason}");
        assert_eq!(why(state, &confirmed), expected);
    }
    assert_eq!(why("held", &reserved), "StockReserved is not for the inventory");
    for state in ["none", "released", "rejected", "cancelled"] {
        assert!(why(state, &refunded).ends_with("but no stock was sold for the order"), "{state}");
    }
}

#[test]
fn an_order_with_other_content_than_its_hold_is_not_sold() {
    let (held, other) = (order(1, [line("A", 2)]), order(1, [line("A", 1)]));
    let mut world = World::with(&[("A", 10)]);
    world.handle(&held, EventBody::OrderCreated, at(0)).unwrap();
    assert_eq!(world.handle(&other, EventBody::OrderConfirmed, at(1)), Err(Impossible::AnotherOrder));
}

#[test]
fn all_lines_are_held_or_none_and_the_first_reason_is_reported() {
    use FailureReason::{InsufficientStock, UnknownItem};
    let whole = World::with(&[("B", 5), ("C", 5), ("D", 0)]);
    for (lines, reason, item_sku) in [
        (vec![line("B", 6)], InsufficientStock, "B"),
        (vec![line("D", 1)], InsufficientStock, "D"),
        (vec![line("A", 1)], UnknownItem, "A"),
        (vec![line("B", 5), line("C", 6)], InsufficientStock, "C"),
        (vec![line("C", 6), line("B", 6)], InsufficientStock, "B"),
        // An unknown item is reported before one with insufficient stock, wherever it is.
        (vec![line("B", 6), line("Z", 1)], UnknownItem, "Z"),
        (vec![line("X", 1), line("A", 1), line("B", 9)], UnknownItem, "A"),
    ] {
        let mut world = whole.clone();
        let order = order(1, lines);
        let rejection = Rejection { reason, item_sku: sku(item_sku) };
        let failed = EventBody::StockReservationFailed { reason, item_sku: sku(item_sku) };
        assert_eq!(world.handle(&order, EventBody::OrderCreated, at(0)), Ok(Some(failed)));
        assert_eq!(world.of(&order).map(|one| &one.state), Some(&State::Rejected(rejection)));
        assert_eq!(world.stock, whole.stock, "nothing is held");
    }
    let mut world = whole.clone();
    let order = order(1, [line("B", 5), line("C", 5)]);
    assert_eq!(world.handle(&order, EventBody::OrderCreated, at(0)), Ok(Some(EventBody::StockReserved)));
}
