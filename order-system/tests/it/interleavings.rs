//! Many orders at once: their messages permuted, doubled and interleaved at random.

use std::collections::BTreeMap;

use order::domain::{NewOrder, Status};
use payment::domain::Answer;
use proptest::prelude::*;
use shared_events::{Event, Line, Lines, Money, Quantity, SagaId, Service, Sku};
use uuid::Uuid;

use crate::joined::World;

#[derive(Debug, Clone)]
struct Wish {
    lines: Vec<(usize, i64)>,
    minor_units: i64,
    /// After so many steps the customer cancels, if the order is still to be cancelled then.
    cancel_after: Option<usize>,
}

const SKUS: [&str; 4] = ["A", "B", "C", "nobody knows it"];

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let lines = prop::collection::vec((0..SKUS.len(), 1..4_i64), 1..4);
    let wish = (lines, 50_000..150_000_i64, prop::option::weighted(0.2, 0..200_usize));
    let wish = wish.prop_map(|(lines, minor_units, cancel_after)| Wish { lines, minor_units, cancel_after });
    prop::collection::vec(wish, 1..20)
}

fn saga(number: usize) -> SagaId {
    SagaId(Uuid::from_u128(number as u128 + 1))
}

fn new_order(number: usize, wish: &Wish) -> NewOrder {
    let line = |&(sku, units): &(usize, i64)| Line {
        sku: Sku::parse(SKUS[sku]).unwrap(),
        quantity: Quantity::new(units).unwrap(),
    };
    NewOrder {
        saga_id: saga(number),
        lines: Lines::new(wish.lines.iter().map(line)).unwrap(),
        total: Money::from_minor_units(wish.minor_units, "USD".parse().unwrap()).unwrap(),
        idempotency_key: None,
    }
}

/// As the simulated gateway: below 1000 dollars.
fn answer(event: &Event) -> Answer {
    if event.order.total.minor_units() < 100_000 {
        Answer::Authorized { reference: String::new() }
    } else {
        Answer::Declined { reason: String::new() }
    }
}

/// Runs all orders to their end. `choices` says which message is next, and whether it comes a second time.
fn run(wishes: &[Wish], choices: &[(u32, bool)]) -> World {
    let stock = SKUS[..3].iter().map(|sku| (Sku::parse(sku).unwrap(), 12));
    let mut world = World::with_stock(stock);
    let mut on_their_way: Vec<(Service, Event)> = Vec::new();
    let say = |events: Vec<Event>, on_their_way: &mut Vec<(Service, Event)>| {
        for event in events {
            let consumers = event.body.event_type().flow().consumers;
            on_their_way.extend(consumers.iter().map(|&consumer| (consumer, event.clone())));
        }
    };
    for (number, wish) in wishes.iter().enumerate() {
        let created = world.place(new_order(number, wish));
        say(created, &mut on_their_way);
    }
    for step in 0.. {
        assert!(step < 100_000, "it does not come to an end");
        for (number, wish) in wishes.iter().enumerate() {
            if wish.cancel_after == Some(step) {
                let said = world.cancel(saga(number));
                say(said, &mut on_their_way);
            }
        }
        if let Some(&saga) = world.to_void.first() {
            let said = world.gateway_voids(saga);
            say(said, &mut on_their_way);
        }
        if on_their_way.is_empty() {
            break;
        }
        let &(choice, again) = choices.get(step).unwrap_or(&(0, false));
        let next = choice as usize % on_their_way.len();
        let (consumer, event) = if again { on_their_way[next].clone() } else { on_their_way.swap_remove(next) };
        let said = world.hear(consumer, &event, &answer(&event));
        say(said, &mut on_their_way);
        assert_eq!(world.audit_stock(), Vec::<String>::new());
    }
    world
}

fn statuses(world: &World) -> BTreeMap<SagaId, Status> {
    world.orders.iter().map(|(saga, order)| (*saga, order.status())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_orders_end_and_the_audit_holds(
        wishes in wishes(),
        choices in prop::collection::vec((any::<u32>(), prop::bool::weighted(0.2)), 0..400),
    ) {
        let world = run(&wishes, &choices);
        prop_assert!(world.is_at_rest(), "{world:#?}");
        prop_assert_eq!(world.audit(), Vec::<String>::new());
    }

    /// Where no order takes another's stock and nobody cancels, the end does not depend on the order of arrival at all.
    #[test]
    fn alone_an_order_ends_in_the_same_state_whatever_the_order_of_arrival(
        wishes in wishes(),
        choices in prop::collection::vec((any::<u32>(), prop::bool::weighted(0.2)), 0..400),
    ) {
        let one = Wish { cancel_after: None, ..wishes[0].clone() };
        let expected = run(std::slice::from_ref(&one), &[]);
        let world = run(&[one], &choices);
        prop_assert_eq!(statuses(&world), statuses(&expected));
        prop_assert_eq!(world, expected);
    }
}
