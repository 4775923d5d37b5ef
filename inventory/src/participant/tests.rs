//! How the inputs of one batch affect each other, in memory. With a database, the engine would hide a mistake here: if
//! a batch fails, it tries the inputs one at a time, which succeeds, only slowly.

use std::{collections::HashMap, time::Duration};

use saga_runtime::{Cause, ReplyTo};
use service_http::Preconditions;
use shared_events::{
    CancelReason, Envelope, EventBody, EventType, Header, IdempotencyKey, Line, Lines, MessageId, Money, OrderDetails,
    OrderId, OwnedKey, Quantity, Sku,
};
use uuid::Uuid;

use super::*;
use crate::{
    commands::{ReleaseReply, ReleaseRequest, ReserveReply, ReserveRequest, SetStockReply, SetStockRequest},
    domain::StockItem,
};

fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

fn line(name: &str, units: i64) -> Line {
    Line { sku: sku(name), quantity: Quantity::new(units).unwrap() }
}

fn inventory() -> Inventory {
    let minute = Duration::from_secs(60);
    Inventory::new(HoldPolicy { hold_time: minute, longest_repeat: minute }, None, minute)
}

/// The state of a batch with this number of units of item A, and without reservations.
fn state(units: i64) -> State {
    let mut item = StockItem::new(sku("A"));
    item.set_available(units).unwrap();
    State {
        reservations: WorkingSet::loaded([]),
        by_saga: HashMap::new(),
        owned_by_sagas: HashSet::new(),
        due: Vec::new(),
        new_ids: (1..=2_000).map(ReservationId).collect::<Vec<_>>().into_iter(),
        keyed: WorkingSet::loaded([]),
        items: WorkingSet::loaded([(sku("A"), item)]),
    }
}

fn decide(state: &mut State, payload: Payload<Inventory>) -> Decision<Inventory> {
    let input = Input::new(Timestamp::default(), Cause::new(), payload);
    inventory().decide(state, &input).unwrap()
}

fn handle(state: &mut State, order: i64, body: EventBody) -> Vec<EventType> {
    let total = Money::from_minor_units(100, "USD".parse().unwrap()).unwrap();
    let details = OrderDetails {
        order_id: OrderId(order),
        lines: Lines::new([line("A", 2)]).unwrap(),
        total,
        payment_method: None,
    };
    let saga_id = SagaId(Uuid::from_u128(u128::try_from(order).unwrap()));
    let envelope = Envelope {
        header: Header {
            id: MessageId(Uuid::now_v7()),
            time: Timestamp::default(),
            causation_id: Uuid::now_v7(),
            system_id: None,
            traceparent: None,
        },
        event: Event { saga_id, order: details, body },
    };
    let events = decide(state, Payload::Event(Box::new(envelope))).events;
    events.into_iter().map(|event| event.body.event_type()).collect()
}

fn numbers(state: &State) -> (i64, i64, i64) {
    let item = state.items.get(&sku("A")).unwrap();
    (item.available(), item.held(), item.sold())
}

#[test]
fn an_input_sees_the_changes_of_earlier_inputs_in_the_batch() {
    let cancel = || EventBody::OrderCancelRequested { reason: CancelReason::Customer };
    let mut batch = state(10);
    assert_eq!(handle(&mut batch, 1, EventBody::OrderCreated), [EventType::StockReserved]);
    assert_eq!(handle(&mut batch, 1, EventBody::OrderCreated), []);
    assert_eq!(handle(&mut batch, 1, cancel()), [EventType::StockReleased]);
    assert_eq!(handle(&mut batch, 2, cancel()), [EventType::StockReleased]);
    assert_eq!(handle(&mut batch, 2, EventBody::OrderCreated), []);
    assert_eq!(handle(&mut batch, 3, EventBody::OrderCreated), [EventType::StockReserved]);
    assert_eq!(handle(&mut batch, 3, EventBody::OrderConfirmed), []);
    let states = batch.reservations.to_save(|one| one.state.clone());
    assert_eq!(states.new, [ReservationState::Released, ReservationState::Cancelled, ReservationState::Sold]);
    assert_eq!(numbers(&batch), (8, 0, 2));
}

#[test]
fn a_thousand_orders_for_one_item_change_one_row_of_the_stock() {
    let mut batch = state(1_500);
    let events: Vec<EventType> =
        (1..=1_000).flat_map(|order| handle(&mut batch, order, EventBody::OrderCreated)).collect();
    assert_eq!(events.iter().filter(|event| **event == EventType::StockReserved).count(), 750);
    assert_eq!(numbers(&batch), (0, 1_500, 0));
    let (items, reservations) = (batch.items.to_save(|_| ()), batch.reservations.to_save(|_| ()));
    assert_eq!([items.changed.len(), items.new.len()], [1, 0]);
    assert_eq!([reservations.changed.len(), reservations.new.len()], [0, 1_000]);
}

/// A request for item A without an idempotency key.
fn request(units: i64, key_owner: &str) -> ReserveRequest {
    ReserveRequest { line: line("A", units), key_owner: key_owner.to_owned(), idempotency_key: None }
}

/// A request to release what `owner` has reserved.
fn release_of(id: ReservationId, owner: Option<&str>) -> ReleaseRequest {
    ReleaseRequest { id, owner: owner.map(|owner| owner.parse().unwrap()), idempotency_key: None }
}

/// Returns the reply to a command.
fn reply<T: Send + 'static>(state: &mut State, command: impl FnOnce(ReplyTo<T>) -> Command) -> T {
    let (reply_to, mut reply) = ReplyTo::new();
    decide(state, Payload::Command(command(reply_to))).reply.unwrap().send();
    reply.try_recv().unwrap()
}

#[test]
fn commands_and_events_share_the_stock_of_a_batch() {
    let mut batch = state(0);
    assert_eq!(handle(&mut batch, 1, EventBody::OrderCreated), [EventType::StockReservationFailed]);
    let set = |units| {
        let request = SetStockRequest { sku: sku("A"), units, preconditions: Preconditions::default() };
        move |reply_to| Command::SetStock(request, reply_to)
    };
    assert!(matches!(reply(&mut batch, set(5)), SetStockReply::Stored(_)));
    assert_eq!(handle(&mut batch, 2, EventBody::OrderCreated), [EventType::StockReserved]);
    let reserved = reply(&mut batch, |reply_to| Command::Reserve(request(2, ""), reply_to));
    let ReserveReply::Reserved { id, remaining: 1, expires_at: None } = reserved else { panic!("{reserved:?}") };
    let release = |reply_to| Command::Release(release_of(id, None), reply_to);
    assert!(matches!(reply(&mut batch, release), ReleaseReply::Released(_)));
    assert!(matches!(reply(&mut batch, release), ReleaseReply::ReleasedBefore));
    assert!(matches!(reply(&mut batch, set(i64::MAX)), SetStockReply::TooMuch));
    assert_eq!(numbers(&batch), (3, 2, 0));
}

#[test]
fn only_its_owner_or_who_may_see_all_releases_a_reservation() {
    let mut batch = state(10);
    assert_eq!(handle(&mut batch, 1, EventBody::OrderCreated), [EventType::StockReserved]);
    let mut held = Vec::new();
    for owner in ["a", "b", ""] {
        let reserved = reply(&mut batch, |reply_to| Command::Reserve(request(1, owner), reply_to));
        let ReserveReply::Reserved { id, .. } = reserved else { panic!("{reserved:?}") };
        held.push(id);
    }
    let mut release =
        |id, owner: Option<&str>| reply(&mut batch, |reply_to| Command::Release(release_of(id, owner), reply_to));
    // That of the order, of another owner, of no owner, and one that does not exist look the same.
    for id in [ReservationId(1), held[1], held[2], ReservationId(99)] {
        assert!(matches!(release(id, Some("a")), ReleaseReply::NotFound), "{id}");
    }
    assert!(matches!(release(held[0], Some("a")), ReleaseReply::Released(_)));
    assert!(matches!(release(held[0], Some("b")), ReleaseReply::NotFound));
    assert!(matches!(release(ReservationId(1), None), ReleaseReply::HeldForOrder));
    for id in &held[1..] {
        assert!(matches!(release(*id, None), ReleaseReply::Released(_)), "{id}");
    }
    assert_eq!(numbers(&batch), (8, 2, 0));
}

#[test]
fn requests_of_a_batch_with_one_idempotency_key_are_one() {
    let mut batch = state(10);
    let key =
        |owner: &str, key: &str| Some(OwnedKey { owner: owner.to_owned(), key: IdempotencyKey::parse(key).unwrap() });
    let mut reserve = |units, owner: &str| {
        let request = ReserveRequest { idempotency_key: key(owner, "k"), ..request(units, owner) };
        match reply(&mut batch, |reply_to| Command::Reserve(request, reply_to)) {
            ReserveReply::Reserved { id, remaining, .. } => Some((id.0, remaining)),
            ReserveReply::Rejected(_) => None,
            ReserveReply::KeyReused => Some((0, 0)),
        }
    };
    // What was refused does not use the key up.
    assert_eq!(reserve(11, "a"), None);
    let first = reserve(3, "a");
    assert_eq!(first.map(|(_, remaining)| remaining), Some(7));
    let other = reserve(2, "b");
    assert_eq!(other.map(|(_, remaining)| remaining), Some(5));
    assert_eq!((reserve(3, "a"), reserve(2, "b")), (first, other));
    assert_eq!((reserve(2, "a"), reserve(3, "b")), (Some((0, 0)), Some((0, 0))));
    let id = ReservationId(first.unwrap().0);
    let mut release = |text: &str| {
        let request = ReleaseRequest { idempotency_key: key("a", text), ..release_of(id, None) };
        reply(&mut batch, |reply_to| Command::Release(request, reply_to))
    };
    assert!(matches!(release("k"), ReleaseReply::KeyReused), "it is the key of another request");
    assert!(matches!(release("r"), ReleaseReply::Released(_)));
    assert!(matches!(release("r"), ReleaseReply::Released(_)));
    assert!(matches!(release("s"), ReleaseReply::ReleasedBefore));
    assert!(matches!(release("s"), ReleaseReply::ReleasedBefore));
    assert_eq!(numbers(&batch), (8, 2, 0));
    assert_eq!(batch.keyed.to_save(|one| one.key.key.as_str().to_owned()).new, ["k", "r", "k"]);
}
