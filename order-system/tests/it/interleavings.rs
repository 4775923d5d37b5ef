//! Many orders at once, with their messages reordered, duplicated and interleaved at random.

use std::collections::BTreeMap;

use order::domain::{NewOrder, NewRefund, Status};
use payment::domain::{Answer, Step};
use proptest::prelude::*;
use shared_events::{Event, Line, Lines, Money, OrderId, Quantity, RefundFailure, RefundId, SagaId, Service, Sku};
use uuid::Uuid;

use crate::joined::World;

#[derive(Debug, Clone)]
struct PlannedOrder {
    lines: Vec<(usize, i64)>,
    minor_units: i64,
    /// The step after which the customer cancels, if the order can still be cancelled then.
    cancel_after: Option<usize>,
    /// The steps after which the customer requests a refund, if the order is confirmed by then, and the amounts.
    refund_after: Vec<(usize, i64)>,
}

const SKUS: [&str; 4] = ["A", "B", "C", "unknown"];

fn planned_orders() -> impl Strategy<Value = Vec<PlannedOrder>> {
    let lines = prop::collection::vec((0..SKUS.len(), 1..4_i64), 1..4);
    let refunds = prop::collection::vec((0..300_usize, 1..60_000_i64), 0..4);
    let planned = (lines, 50_000..150_000_i64, prop::option::weighted(0.2, 0..200_usize), refunds);
    let planned = planned.prop_map(|(lines, minor_units, cancel_after, refund_after)| PlannedOrder {
        lines,
        minor_units,
        cancel_after,
        refund_after,
    });
    prop::collection::vec(planned, 1..20)
}

fn saga(number: usize) -> SagaId {
    SagaId(Uuid::from_u128(number as u128 + 1))
}

fn new_order(number: usize, planned: &PlannedOrder) -> NewOrder {
    let line = |&(sku, units): &(usize, i64)| Line {
        sku: Sku::parse(SKUS[sku]).unwrap(),
        quantity: Quantity::new(units).unwrap(),
    };
    NewOrder {
        saga_id: saga(number),
        owner: String::new(),
        lines: Lines::new(planned.lines.iter().map(line)).unwrap(),
        total: Money::from_minor_units(planned.minor_units, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: None,
    }
}

/// A refund of one unit of the first line, which comes back if that was said.
fn new_refund(number: usize, index: usize, planned: &PlannedOrder) -> NewRefund {
    let line = Line { sku: Sku::parse(SKUS[planned.lines[0].0]).unwrap(), quantity: Quantity::new(1).unwrap() };
    let minor_units = planned.refund_after[index].1;
    NewRefund {
        refund_id: RefundId(Uuid::from_u128((number * 10 + index) as u128)),
        order_id: OrderId(number as i64 + 1),
        amount: Some(format!("{}.{:02}", minor_units / 100, minor_units % 100)),
        items: Some(Lines::new([line]).unwrap()),
        restock: minor_units % 3 == 0,
        reason: None,
        idempotency_key: None,
    }
}

/// Answers like the simulated gateway: amounts below 1000 dollars are authorized.
fn answer(world: &World, saga: SagaId, step: Step) -> Answer {
    match step {
        Step::Prepare => Answer::Prepared { reference: format!("reference of {}", saga.0) },
        Step::Authorize if world.payments[&saga].amount.minor_units() < 100_000 => Answer::Authorized,
        Step::Authorize => Answer::Declined { reason: String::new() },
        // Some authorizations have expired when the order is confirmed.
        Step::Capture if world.payments[&saga].amount.minor_units() % 10 == 0 => {
            Answer::CaptureFailed { reason: String::new() }
        }
        Step::Capture => Answer::Captured { reference: "captured".to_owned() },
        Step::Void => Answer::Voided,
        // Some refunds are refused by the gateway.
        Step::Refund(refund_id) if world.refunds[&refund_id].details.amount.minor_units() % 4 == 0 => {
            Answer::RefundRefused { refund_id, reason: RefundFailure::Declined, detail: String::new() }
        }
        Step::Refund(refund_id) => Answer::Refunded(refund_id),
    }
}

/// Runs all orders to their end. `choices` determines which message is delivered or which payment the gateway answers
/// next, and whether a message is also delivered a second time.
fn run(planned_orders: &[PlannedOrder], choices: &[(u32, bool)]) -> World {
    let stock = SKUS[..3].iter().map(|sku| (Sku::parse(sku).unwrap(), 12));
    let mut world = World::with_stock(stock);
    let mut in_flight: Vec<(Service, Event)> = Vec::new();
    let publish = |events: Vec<Event>, in_flight: &mut Vec<(Service, Event)>| {
        for event in events {
            let consumers = event.body.event_type().flow().consumers;
            in_flight.extend(consumers.iter().map(|&consumer| (consumer, event.clone())));
        }
    };
    for (number, planned) in planned_orders.iter().enumerate() {
        let created = world.place(new_order(number, planned));
        publish(created, &mut in_flight);
    }
    for step in 0.. {
        assert!(step < 100_000, "it does not come to an end");
        for (number, planned) in planned_orders.iter().enumerate() {
            if planned.cancel_after == Some(step) {
                let events = world.cancel(saga(number));
                publish(events, &mut in_flight);
            }
            for (index, _) in planned.refund_after.iter().enumerate().filter(|(_, (after, _))| *after == step) {
                let events = world.refund(saga(number), new_refund(number, index, planned));
                publish(events, &mut in_flight);
            }
        }
        let asked = world.gateway_steps();
        if in_flight.is_empty() && asked.is_empty() {
            break;
        }
        let &(choice, again) = choices.get(step).unwrap_or(&(0, false));
        let next = choice as usize % (in_flight.len() + asked.len());
        let events = match next.checked_sub(in_flight.len()) {
            Some(index) => {
                let (saga, step) = asked[index];
                let answer = answer(&world, saga, step);
                let mut events = world.gateway_answers(saga, &answer);
                // Some refunds fail after they were accepted.
                if let Answer::Refunded(id) = answer
                    && world.refunds[&id].details.amount.minor_units() % 7 == 0
                {
                    events.extend(world.refund_reversed(saga, id));
                }
                events
            }
            None => {
                let (consumer, event) = if again { in_flight[next].clone() } else { in_flight.swap_remove(next) };
                world.handle(consumer, &event)
            }
        };
        publish(events, &mut in_flight);
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
        planned_orders in planned_orders(),
        choices in prop::collection::vec((any::<u32>(), prop::bool::weighted(0.2)), 0..400),
    ) {
        let world = run(&planned_orders, &choices);
        prop_assert!(world.is_at_rest(), "{world:#?}");
        prop_assert_eq!(world.audit(), Vec::<String>::new());
    }

    /// If no order takes another's stock and no customer cancels, the end does not depend on the order of arrival.
    #[test]
    fn alone_an_order_ends_in_the_same_state_whatever_the_order_of_arrival(
        planned_orders in planned_orders(),
        choices in prop::collection::vec((any::<u32>(), prop::bool::weighted(0.2)), 0..400),
    ) {
        let one = PlannedOrder { cancel_after: None, refund_after: Vec::new(), ..planned_orders[0].clone() };
        let expected = run(std::slice::from_ref(&one), &[]);
        let world = run(&[one], &choices);
        prop_assert_eq!(statuses(&world), statuses(&expected));
        prop_assert_eq!(world, expected);
    }
}
