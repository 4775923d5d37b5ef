//! What the inputs of one batch see of each other, in memory.

use std::{num::NonZeroUsize, time::Duration};

use saga_database::ReplicaBus;
use saga_runtime::Cause;
use shared_events::{Line, Lines, Money, Quantity, Sku};
use uuid::Uuid;

use super::*;

fn participant() -> Orders {
    let minute = Duration::from_secs(60);
    let cancel_policy = CancelPolicy { deadline: minute, first_repeat: minute, longest_repeat: minute };
    Orders::new(cancel_policy, Watchers::new(ReplicaBus::none(), NonZeroUsize::MIN))
}

/// The state of a batch that found no orders.
fn state() -> State {
    State {
        orders: WorkingSet::loaded([]),
        by_saga: HashMap::new(),
        by_key: HashMap::new(),
        due: Vec::new(),
        refunds: Refunds::loaded(Vec::new()),
        due_refunds: BTreeSet::new(),
        new_ids: (1..=100).map(OrderId).collect::<Vec<_>>().into_iter(),
        timeline: Vec::new(),
        ended: Vec::new(),
        ended_refunds: Vec::new(),
        changes: None,
    }
}

/// Returns the reply to a command.
fn reply<T: Send + 'static>(state: &mut State, command: impl FnOnce(ReplyTo<T>) -> Command) -> T {
    let (reply_to, mut reply) = ReplyTo::new();
    let input = Input::new(Timestamp::default(), Cause::new(), Payload::Command(command(reply_to)));
    participant().decide(state, &input).unwrap().reply.unwrap().send();
    reply.try_recv().unwrap()
}

/// Places an order with a key. Returns its id, and whether it was placed before; `None` if the key was refused.
fn place(state: &mut State, owner: &str, key: &str, quantity: i64) -> Option<(i64, bool)> {
    let line = Line { sku: Sku::parse("A").unwrap(), quantity: Quantity::new(quantity).unwrap() };
    let new = NewOrder {
        saga_id: SagaId(Uuid::now_v7()),
        owner: owner.to_owned(),
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(100, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: Some(IdempotencyKey::parse(key).unwrap()),
    };
    match reply(state, |reply_to| Command::Place(new, reply_to)) {
        PlaceReply::Placed(order) => Some((order.details.order_id.0, false)),
        PlaceReply::PlacedBefore(order) => Some((order.details.order_id.0, true)),
        PlaceReply::KeyReused => None,
    }
}

#[test]
fn each_owner_has_idempotency_keys_of_its_own() {
    let mut batch = state();
    for (owner, id) in [("", 1), ("a", 2), ("b", 3)] {
        // Neither the same content of another owner nor another content counts.
        assert_eq!(place(&mut batch, owner, "k", 1), Some((id, false)), "{owner}");
    }
    assert_eq!(place(&mut batch, "c", "k", 9), Some((4, false)));
    for (owner, id) in [("", 1), ("a", 2), ("b", 3)] {
        assert_eq!(place(&mut batch, owner, "k", 1), Some((id, true)), "{owner}");
        assert_eq!(place(&mut batch, owner, "k", 2), None, "{owner}");
    }
    // What looks like the key of another one is a key of its own.
    assert_eq!(place(&mut batch, "", "k a", 1), Some((5, false)));
    assert_eq!(place(&mut batch, "a", "k:b", 1), Some((6, false)));
}

#[test]
fn an_order_is_cancelled_by_its_owner_only() {
    let mut batch = state();
    for owner in ["", "a", "b"] {
        place(&mut batch, owner, "k", 1);
    }
    let mut cancel = |id, owner: Option<&str>| {
        let owner = owner.map(|owner| owner.parse().unwrap());
        let reply = reply(&mut batch, |reply_to| Command::Cancel(OrderId(id), owner, reply_to));
        match reply {
            CancelReply::Accepted(order) => Some(order.details.order_id.0),
            CancelReply::NotFound => None,
            CancelReply::AlreadyConfirmed => panic!("nothing is confirmed"),
        }
    };
    for id in [1, 3, 4] {
        assert_eq!(cancel(id, Some("a")), None);
    }
    assert_eq!(cancel(2, Some("a")), Some(2));
    assert_eq!(cancel(3, Some("b")), Some(3));
    assert_eq!(cancel(1, None), Some(1));
}
