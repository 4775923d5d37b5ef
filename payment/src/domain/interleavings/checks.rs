//! The searches.

use super::{gateway::captured, *};

#[test]
fn in_every_interleaving_the_gateway_charges_only_for_an_authorized_payment() {
    for (cancels, accepts) in [(0, true), (1, true), (2, true), (0, false), (1, false), (2, false)] {
        let all = reachable(Chances { cancels, accepts, ..CHANCES });
        check(&all);
        for world in all.iter().filter(|world| world.is_quiet()) {
            assert_eq!(world.is_charged(), cancels == 0 && accepts, "{world:?}");
            assert_eq!(world.voided_published, cancels > 0, "{world:?}");
        }
    }
}

#[test]
fn in_every_interleaving_a_confirmed_order_is_captured_once_or_fails_for_good() {
    for (cancels, expires) in [(0, false), (0, true), (1, false), (1, true)] {
        let all = reachable(Chances { cancels, confirmations: 2, expires, ..CHANCES });
        check(&all);
        let quiet = || all.iter().filter(|world| world.is_quiet());
        for world in quiet() {
            // What expires before it is known to be authorized is declined.
            let is_declined = matches!(world.state(), Some(State::Declined(_))) && expires;
            assert!(world.is_confirmed != (world.voided_published || is_declined), "{world:?}");
            assert_eq!(world.is_confirmed, world.capture_published.is_some(), "{world:?}");
            assert_eq!(world.is_captured(), world.capture_published == Some(true), "{world:?}");
            assert_eq!(world.is_captured(), world.state() == Some(&State::Captured), "{world:?}");
            assert!(!world.is_charged(), "{world:?}");
        }
        assert!(quiet().any(World::is_captured));
        assert_eq!(quiet().any(|world| world.capture_published == Some(false)), expires);
        assert_eq!(quiet().any(|world| world.voided_published), cancels > 0);
    }
}

#[test]
fn in_every_interleaving_no_more_is_refunded_than_was_captured_and_each_refund_once() {
    for expires in [false, true] {
        let all = reachable(Chances { confirmations: 1, expires, refunds: 2, losses: 1, ..CHANCES });
        check(&all);
        let mut ends = HashSet::new();
        for world in &all {
            if world.is_quiet() && world.authorized_published {
                ends.insert((world.is_captured(), world.settled_refunds()));
            }
        }
        // The sum of both is too much, so the one that is requested first succeeds.
        let (first, none) = ((true, vec![true, false]), (false, vec![false, false]));
        assert_eq!(ends, if expires { HashSet::from([first, none]) } else { HashSet::from([first]) });
    }
}

#[test]
fn in_every_interleaving_a_refund_that_fails_later_leaves_its_amount_for_another() {
    let all = reachable(Chances { confirmations: 1, refunds: 2, reversals: 1, losses: 1, ..CHANCES });
    check(&all);
    let mut ends = HashSet::new();
    for world in &all {
        if world.is_quiet() && world.authorized_published {
            ends.insert((world.reversed.len(), world.settled_refunds()));
        }
    }
    // The second one fails if it is requested before the first has failed.
    let expected = [(0, vec![true, false]), (1, vec![false, false]), (1, vec![false, true])];
    assert_eq!(ends, HashSet::from(expected));
}

/// Checks what holds at any moment.
fn check(all: &HashSet<World>) {
    assert!(all.iter().any(World::is_quiet));
    for world in all {
        assert!(world.charges <= 1, "charged twice: {world:?}");
        let is_paid = world.is_charged() || world.is_captured();
        assert!(!(is_paid && world.voided_published), "{world:?}");
        assert!(!world.is_captured() || world.is_confirmed, "{world:?}");
        let refunded: i64 = world.refunded.values().map(|amount| amount.minor_units()).sum();
        assert!(refunded <= if world.is_captured() { 20_000 } else { 0 }, "{world:?}");
        let charged = |state: &AtGateway| matches!(state, AtGateway::Charged | AtGateway::Captured);
        let charged = world.gateway.iter().find(|(_, state)| charged(state));
        if let (Some((reference, _)), Some(row)) = (charged, &world.row) {
            let known = row.reference.as_ref();
            assert!(known == Some(reference) || known == Some(&captured(reference)), "no row knows this: {world:?}");
        }
        // What is not at rest goes on: the row says what is to be asked.
        let waits = match world.state() {
            Some(State::Requested | State::Capturing | State::Voiding) => true,
            Some(State::Captured) => world.row.as_ref().is_some_and(|row| row.next_refund().is_some()),
            _ => false,
        };
        assert_eq!(waits, world.call().is_some(), "{world:?}");
        let has_expired = world.gateway.values().any(|state| *state == AtGateway::Expired);
        if world.is_quiet() && !has_expired {
            assert_eq!(world.is_charged(), world.state() == Some(&State::Authorized), "{world:?}");
        }
    }
}
