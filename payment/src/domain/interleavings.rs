//! Every interleaving of the steps of one saga: two deliveries of `StockReserved`, up to two cancellations or two
//! deliveries of `OrderConfirmed`, an authorization that expires, refunds that are requested twice each, two replicas
//! that ask the gateway, answers that are lost, crashes, calls that reach the gateway long after their callers have
//! given up, a gateway that forgets its keys, and a refund that fails after the gateway has accepted it.

mod checks;
mod gateway;
mod published;
mod steps;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared_events::{CancelReason, EventBody, Money, RefundDetails, RefundFailure, RefundId};
use uuid::Uuid;

use super::{
    Answer, Payment, PaymentId, Refund, RefundState, State, Step, Transition, on_answer, on_event, refund_reversed,
    tests::{at, event},
};

const CANCEL: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };

/// A call to the gateway: the step, and the reference that it is for.
type Call = (Step, Option<String>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asker {
    Idle,
    /// The call has not reached the gateway yet.
    InFlight(Call),
    /// The gateway has acted, and the answer is not handled yet.
    Answered(Answer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AtGateway {
    Prepared,
    Charged,
    Declined,
    Voided,
    Captured,
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<Payment>,
    deliveries_left: u8,
    cancels_left: u8,
    /// How often `OrderConfirmed` may still come. Order confirms what is authorized, if it has not cancelled before,
    /// and repeats that until it is answered.
    confirmations_left: u8,
    is_confirmed: bool,
    /// Whether the authorization may still expire.
    may_expire: bool,
    /// How often an answer may be lost, or a process crash.
    losses_left: u8,
    /// Whether the gateway may still forget the key.
    may_forget: bool,
    askers: [Asker; 2],
    /// A call whose caller has given up, and which has not reached the gateway yet.
    late: Option<Call>,
    key: Option<String>,
    gateway: BTreeMap<String, AtGateway>,
    accepts: bool,
    charges: u8,
    authorized_published: bool,
    voided_published: bool,
    /// What was said last about the capture: whether the amount is taken.
    capture_published: Option<bool>,
    /// How often each refund may still be requested.
    refunds_left: BTreeMap<RefundId, u8>,
    /// What the gateway has given back.
    refunded: BTreeMap<RefundId, Money>,
    /// How many refunds may still fail after the gateway has accepted them.
    reversals_left: u8,
    /// Those that have.
    reversed: BTreeSet<RefundId>,
    /// Those of which the webhook has not come yet.
    webhooks: BTreeSet<RefundId>,
    /// What was said last about each refund: whether the amount has gone back.
    refunds_published: BTreeMap<RefundId, bool>,
}

/// The amounts, in minor units, of the refunds that may be requested. Together they are more than the payment.
const REFUNDS: [i64; 2] = [15_000, 5_001];

fn refund(id: RefundId) -> RefundDetails {
    let minor_units = REFUNDS[id.0.as_u128() as usize];
    let amount = Money::from_minor_units(minor_units, "USD".parse().unwrap()).unwrap();
    RefundDetails { refund_id: id, amount, restock: None }
}

/// What may happen in a search.
#[derive(Debug, Clone, Copy)]
struct Chances {
    cancels: u8,
    confirmations: u8,
    accepts: bool,
    expires: bool,
    /// How often each refund may be requested.
    refunds: u8,
    /// How many refunds may fail after they were accepted.
    reversals: u8,
    losses: u8,
}

const CHANCES: Chances =
    Chances { cancels: 0, confirmations: 0, accepts: true, expires: false, refunds: 0, reversals: 0, losses: 2 };

impl World {
    fn new(Chances { cancels, confirmations, accepts, expires, refunds, reversals, losses }: Chances) -> Self {
        let refunds_left = (0..).take(REFUNDS.len()).map(|id| (RefundId(Uuid::from_u128(id)), refunds));
        Self {
            row: None,
            deliveries_left: if refunds == 0 { 2 } else { 1 },
            cancels_left: cancels,
            confirmations_left: confirmations,
            is_confirmed: false,
            may_expire: expires,
            losses_left: losses,
            // For a refund, it makes no difference.
            may_forget: refunds == 0,
            askers: [Asker::Idle, Asker::Idle],
            late: None,
            key: None,
            gateway: BTreeMap::new(),
            accepts,
            charges: 0,
            authorized_published: false,
            voided_published: false,
            capture_published: None,
            refunds_left: refunds_left.filter(|_| refunds > 0).collect(),
            refunded: BTreeMap::new(),
            reversals_left: reversals,
            reversed: BTreeSet::new(),
            webhooks: BTreeSet::new(),
            refunds_published: BTreeMap::new(),
        }
    }

    fn is_captured(&self) -> bool {
        self.gateway.values().any(|state| *state == AtGateway::Captured)
    }

    fn is_charged(&self) -> bool {
        self.gateway.values().any(|state| *state == AtGateway::Charged)
    }

    fn state(&self) -> Option<&State> {
        self.row.as_ref().map(|payment| &payment.state)
    }

    /// Returns whether nothing is in progress, and nothing is left to do.
    fn is_quiet(&self) -> bool {
        let can_be_confirmed = self.authorized_published && self.confirmations_left > 0;
        let can_be_cancelled = self.cancels_left > 0 && !self.is_confirmed;
        let can_be_refunded = self.authorized_published && self.refunds_left.values().any(|left| *left > 0);
        let nothing_left = self.deliveries_left == 0
            && !(can_be_cancelled || can_be_confirmed || can_be_refunded)
            && self.late.is_none()
            && self.webhooks.is_empty();
        nothing_left && self.askers.iter().all(|asker| *asker == Asker::Idle) && self.call().is_none()
    }
}

/// Returns all reachable states.
fn reachable(chances: Chances) -> HashSet<World> {
    let mut seen = HashSet::from([World::new(chances)]);
    let mut to_do: Vec<World> = seen.iter().cloned().collect();
    while let Some(world) = to_do.pop() {
        for next in world.next() {
            if seen.insert(next.clone()) {
                to_do.push(next);
            }
        }
    }
    seen
}
