//! Every order of arrival, the timer, and the stock equation with all kinds of inputs.

use proptest::prelude::*;
use shared_events::Service;

use super::*;

#[test]
fn nothing_stays_held_for_a_cancelled_order_whatever_the_order_of_arrival() {
    let [created, declined, cancel] =
        [EventType::OrderCreated, EventType::PaymentFailed, EventType::OrderCancelRequested].map(body);
    let order = order(1, [line("A", 2)]);
    // Each of the three up to twice, in every order of arrival.
    let events = [&created, &declined, &cancel];
    for arrivals in (0..3_usize.pow(6)).map(|n| (0..6).map(move |digit| n / 3_usize.pow(digit) % 3)) {
        let mut world = World::with(&[("A", 10)]);
        let mut published = Vec::new();
        let mut cancelled = false;
        for index in arrivals {
            cancelled |= index > 0;
            published.extend(world.handle(&order, events[index].clone(), at(1)).unwrap());
            world.assert_consistent();
            if cancelled {
                assert_eq!(world.numbers("A"), (10, 0, 0));
                assert_eq!(published.last(), Some(&EventBody::StockReleased));
            }
        }
        assert_eq!(world.reservations.len(), 1);
    }
}

#[test]
fn an_overdue_hold_is_reported_with_growing_pauses_and_only_while_it_is_held() {
    let order = order(1, [line("A", 2)]);
    let mut world = World::with(&[("A", 10)]);
    world.handle(&order, EventBody::OrderCreated, at(0)).unwrap();
    let mut held = world.of(&order).unwrap().clone();
    let mut overdue_at = Vec::new();
    for second in 0..1_000 {
        if let Some(overdue) = held.wake(at(second), &POLICY) {
            assert_eq!(overdue, event(&order, EventBody::StockHoldOverdue));
            overdue_at.push(second);
        }
    }
    // 60, then pauses of 60, 120 and 200, 200, …
    assert_eq!(overdue_at, [60, 120, 240, 440, 640, 840]);
    assert_eq!((held.repeats, held.state.clone()), (6, State::Held));
    held.repeats = u32::MAX;
    assert!(held.wake(at(5_000), &POLICY).is_some(), "after any number of repeats");
    world.handle(&order, EventBody::OrderConfirmed, at(2)).unwrap();
    let mut sold = world.of(&order).unwrap().clone();
    assert_eq!(sold.wake(at(10_000), &POLICY), None);
}

fn of_a_client(line: Line, expiry: Option<u64>) -> ClientRequest {
    ClientRequest { line, key_owner: "shop".to_owned(), expiry: expiry.map(Duration::from_secs) }
}

#[test]
fn what_a_client_holds_expires_if_it_is_to_and_asks_nobody() {
    let mut world = World::with(&[("A", 10)]);
    let mut hold = |expiry| {
        let request = of_a_client(line("A", 1), expiry);
        Reservation::hold_for_client(ReservationId(9), request, &mut world.stock, at(10)).unwrap()
    };
    let (mut forever, mut short) = (hold(None), hold(Some(60)));
    assert_eq!((forever.expires_at(), short.expires_at()), (None, Some(at(70))));
    for (now, expired) in [(at(0), false), (at(69), false), (at(70), true), (at(10_000), true)] {
        assert_eq!((forever.has_expired(now), short.has_expired(now)), (false, expired));
        assert_eq!((forever.wake(now, &POLICY), short.wake(now, &POLICY)), (None, None));
    }
    let released = short.release(&mut world.stock, at(80)).unwrap();
    assert_eq!((released.state.clone(), released.expires_at()), (State::Released, None));
    assert!(!released.has_expired(at(10_000)));
    for (owner, visible) in [(None, true), (Some("shop"), true), (Some("other"), false), (Some(""), false)] {
        assert_eq!(forever.is_visible_to(owner), visible, "{owner:?}");
    }
    // A hold for an order never expires, and belongs to no client.
    let order = order(1, [line("A", 1)]);
    world.handle(&order, EventBody::OrderCreated, at(0)).unwrap();
    let held = world.of(&order).unwrap();
    assert!(held.wake_at.is_some() && held.expires_at().is_none() && !held.has_expired(at(10_000)));
    assert!(held.is_visible_to(None) && !held.is_visible_to(Some("shop")) && !held.is_visible_to(Some("")));
}

#[derive(Debug, Clone)]
enum Input {
    Event(usize, EventBody),
    SetStock(&'static str, i64),
    Reserve(Line),
    Release(i64),
    Tick,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let name = || prop::sample::select(vec!["A", "B", "C"]);
    // The events that inventory consumes are more frequent.
    let ours =
        prop::sample::select(Service::Inventory.subscriptions().map(|flow| body(flow.event)).collect::<Vec<_>>());
    let body = prop_oneof![6 => ours, 1 => prop::sample::select(every_body().to_vec())];
    let input = prop_oneof![
        6 => (0..6_usize, body).prop_map(|(order, body)| Input::Event(order, body)),
        2 => (name(), 0..20_i64).prop_map(|(name, units)| Input::SetStock(name, units)),
        2 => (name(), 1..8_i64).prop_map(|(name, units)| Input::Reserve(line(name, units))),
        2 => (1..20_i64).prop_map(Input::Release),
        1 => Just(Input::Tick),
    ];
    prop::collection::vec(input, 0..80)
}

proptest! {
    #[test]
    fn the_stock_adds_up_after_any_inputs(inputs in inputs()) {
        let orders: [OrderDetails; 6] = std::array::from_fn(|index| {
            let number = i64::try_from(index).unwrap() + 1;
            order(number, [line(["A", "B", "C"][index % 3], number), line(["B", "B", "A"][index % 3], 2)])
        });
        let mut world = World::with(&[("A", 10), ("B", 5)]);
        for (second, input) in (0..).zip(inputs) {
            let now = at(second * 30);
            match input {
                // `handle` checks that a refused event changes nothing.
                Input::Event(index, body) => drop(world.handle(&orders[index], body, now)),
                Input::SetStock(name, units) => world.set(name, units),
                Input::Reserve(line) => {
                    let id = world.new_ids().next().unwrap();
                    let before = world.clone();
                    let request = of_a_client(line, (second % 2 == 0).then_some(60));
                    match Reservation::hold_for_client(id, request, &mut world.stock, now) {
                        Ok(reservation) => drop(world.reservations.insert(id, reservation)),
                        Err(_) => prop_assert_eq!(&world, &before),
                    }
                }
                Input::Release(id) => {
                    let known = world.reservations.get(&ReservationId(id)).cloned();
                    let held = known.filter(|one| one.state == State::Held && one.saga_id().is_none());
                    if let Some(held) = held {
                        let released = held.release(&mut world.stock, now).unwrap();
                        world.reservations.insert(released.id, released);
                    }
                }
                Input::Tick => {
                    world.reservations.values_mut().for_each(|one| drop(one.wake(now, &POLICY)));
                    let expired = world.reservations.values().filter(|one| one.has_expired(now)).cloned();
                    for one in expired.collect::<Vec<_>>() {
                        world.reservations.insert(one.id, one.release(&mut world.stock, now).unwrap());
                    }
                }
            }
            world.assert_consistent();
        }
    }
}

proptest! {
    #[test]
    fn no_more_comes_back_than_was_sold(refunds in prop::collection::vec((1..5_u128, 1..3_i64, 0..3_i64), 1..12)) {
        let order = order(1, [line("A", 3), line("B", 2)]);
        let mut world = World::with(&[("A", 10), ("B", 10)]);
        world.handle(&order, EventBody::OrderCreated, at(0)).unwrap();
        let mut back = BTreeMap::new();
        for (number, a, b) in refunds {
            let lines: Vec<_> = [("A", a), ("B", b)].into_iter().filter(|(_, units)| *units > 0).collect();
            let lines: Vec<_> = lines.into_iter().map(|(name, units)| line(name, units)).collect();
            let refund = refund(number, lines);
            let result = world.handle(&order, EventBody::PaymentRefunded { refund: refund.clone() }, at(1));
            if let Ok(returned) = result {
                prop_assert_eq!(returned, Some(EventBody::StockReturned { refund }));
                back.entry(number).or_insert((a, b));
            }
            world.assert_consistent();
        }
        let sum = back.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        prop_assert!(sum.0 <= 3 && sum.1 <= 2, "{:?}", back);
        let sold = if back.is_empty() { [(7, 3, 0), (8, 2, 0)] } else { [(7 + sum.0, 0, 3 - sum.0), (8 + sum.1, 0, 2 - sum.1)] };
        prop_assert_eq!([world.numbers("A"), world.numbers("B")], sold);
    }
}
