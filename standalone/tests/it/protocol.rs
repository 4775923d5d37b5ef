//! One order's protocol, searched exhaustively over the code's own decisions: every order of arrival, every answer, a
//! cancel or the deadline at any moment, and messages lost.

use std::collections::{BTreeMap, HashMap};

use order::domain::{NewOrder, Status};
use payment::domain::Answer;
use shared_events::{Event, EventBody, FailureReason, Line, Lines, Money, Quantity, SagaId, Service, Sku};
use uuid::Uuid;

use crate::joined::World;

/// How many copies of the same message may be on their way at a time.
const COPIES: u8 = 2;
const SAGA: SagaId = SagaId(Uuid::from_u128(7));

/// The services, and the messages between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    world: World,
    on_their_way: BTreeMap<(Service, EventBody), u8>,
    may_be_lost: u8,
    customer_may_cancel: bool,
}

/// A state that follows, and whether it took a loss or a customer's wish to get there.
struct Next {
    state: State,
    by_chance: bool,
}

impl State {
    fn say(&mut self, events: Vec<Event>) {
        for event in events {
            for &consumer in event.body.event_type().flow().consumers {
                let copies = self.on_their_way.entry((consumer, event.body.clone())).or_default();
                *copies = (*copies + 1).min(COPIES);
            }
        }
    }

    fn take(&mut self, message: &(Service, EventBody)) {
        let copies = self.on_their_way.get_mut(message).unwrap();
        *copies -= 1;
        if *copies == 0 {
            self.on_their_way.remove(message);
        }
    }

    fn all_next(&self, answer: &Answer) -> Vec<Next> {
        let mut all = Vec::new();
        let mut step = |by_chance: bool, step: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            step(&mut state);
            if state != *self {
                all.push(Next { state, by_chance });
            }
        };
        let order = self.world.orders[&SAGA].details.clone();
        for message in self.on_their_way.keys() {
            let event = Event { saga_id: SAGA, order: order.clone(), body: message.1.clone() };
            step(false, &|state| {
                state.take(message);
                let said = state.world.hear(message.0, &event, answer);
                state.say(said);
            });
            if self.may_be_lost > 0 {
                step(true, &|state| {
                    state.take(message);
                    state.may_be_lost -= 1;
                });
            }
        }
        if self.customer_may_cancel {
            step(true, &|state| {
                state.customer_may_cancel = false;
                let said = state.world.cancel(SAGA);
                state.say(said);
            });
        }
        let clocks = [World::order_clock, World::inventory_clock];
        for clock in clocks {
            step(false, &|state| {
                let said = clock(&mut state.world, SAGA);
                state.say(said);
            });
        }
        if !self.world.to_void.is_empty() {
            step(false, &|state| {
                let said = state.world.gateway_voids(SAGA);
                state.say(said);
            });
        }
        all
    }

    fn is_quiet_end(&self) -> bool {
        self.on_their_way.is_empty() && self.world.is_at_rest()
    }
}

/// What there is in stock of the two units ordered: `None`, the item is unknown.
fn start(in_stock: Option<i64>, losses: u8) -> State {
    let sku = Sku::parse("SKU-ABC").unwrap();
    let line = Line { sku: sku.clone(), quantity: Quantity::new(2).unwrap() };
    let mut world = World::with_stock(in_stock.map(|units| (sku, units)));
    let created = world.place(NewOrder {
        saga_id: SAGA,
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
        idempotency_key: None,
    });
    let mut state = State { world, on_their_way: BTreeMap::new(), may_be_lost: losses, customer_may_cancel: true };
    state.say(created);
    state
}

/// Goes through everything that can happen, and returns in how many ways it can end, by status.
fn search(start: State, answer: &Answer) -> BTreeMap<&'static str, usize> {
    let mut index: HashMap<State, usize> = HashMap::from([(start.clone(), 0)]);
    let mut states = vec![start];
    // For each state, from which states it is reached without any chance.
    let mut reached_from: Vec<Vec<usize>> = vec![Vec::new()];
    let mut here = 0;
    while here < states.len() {
        let state = states[here].clone();
        assert_eq!(state.world.audit_stock(), Vec::<String>::new(), "{state:#?}");
        for Next { state, by_chance } in state.all_next(answer) {
            let there = *index.entry(state).or_insert_with_key(|state| {
                states.push(state.clone());
                reached_from.push(Vec::new());
                states.len() - 1
            });
            if !by_chance {
                reached_from[there].push(here);
            }
        }
        here += 1;
    }

    let mut ends = BTreeMap::new();
    let mut comes_to_an_end = vec![false; states.len()];
    let mut to_do: Vec<usize> = Vec::new();
    for (here, state) in states.iter().enumerate().filter(|(_, state)| state.is_quiet_end()) {
        assert_eq!(state.world.audit(), Vec::<String>::new(), "{state:#?}");
        *ends.entry(state.world.orders[&SAGA].status().as_str()).or_default() += 1;
        comes_to_an_end[here] = true;
        to_do.push(here);
    }
    while let Some(there) = to_do.pop() {
        for &here in &reached_from[there] {
            if !std::mem::replace(&mut comes_to_an_end[here], true) {
                to_do.push(here);
            }
        }
    }
    // Whatever was lost up to here, the rest leads to an end without anybody's help.
    let stuck = comes_to_an_end.iter().position(|comes| !comes);
    assert!(stuck.is_none(), "no way leads to an end from {:#?}", stuck.map(|here| &states[here]));
    ends
}

fn yes() -> Answer {
    Answer::Authorized { reference: "reference".to_owned() }
}

fn no() -> Answer {
    Answer::Declined { reason: "too much".to_owned() }
}

#[test]
fn every_way_of_a_paid_order_ends_well() {
    let ends = search(start(Some(2), 2), &yes());
    let statuses: Vec<_> = ends.keys().copied().collect();
    assert_eq!(statuses, [Status::Cancelled.as_str(), Status::Confirmed.as_str(), Status::Failed.as_str()]);
}

#[test]
fn every_way_of_a_declined_order_ends_well() {
    let ends = search(start(Some(2), 2), &no());
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [Status::Cancelled.as_str(), Status::Failed.as_str()]);
}

#[test]
fn every_way_of_an_order_without_stock_ends_well() {
    for in_stock in [Some(1), None] {
        let ends = search(start(in_stock, 2), &yes());
        assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [Status::Cancelled.as_str(), Status::Failed.as_str()]);
    }
}

#[test]
fn without_losses_and_wishes_an_order_ends_in_one_way() {
    let reason = |state: &State| state.world.orders[&SAGA].facts.failure_reason();
    for (in_stock, answer, status, why) in [
        (Some(2), yes(), Status::Confirmed, None),
        (Some(2), no(), Status::Failed, Some(FailureReason::PaymentDeclined)),
        (Some(1), yes(), Status::Failed, Some(FailureReason::InsufficientStock)),
        (None, yes(), Status::Failed, Some(FailureReason::UnknownItem)),
    ] {
        let mut state = start(in_stock, 0);
        state.customer_may_cancel = false;
        // No clock either: each message is delivered in turn.
        while let Some(message) = state.on_their_way.keys().next().cloned() {
            let order = state.world.orders[&SAGA].details.clone();
            state.take(&message);
            let said = state.world.hear(message.0, &Event { saga_id: SAGA, order, body: message.1 }, &answer);
            state.say(said);
        }
        assert!(state.is_quiet_end(), "{state:#?}");
        assert_eq!((state.world.orders[&SAGA].status(), reason(&state)), (status, why));
    }
}
