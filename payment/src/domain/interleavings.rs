//! Every interleaving of the steps of one saga: two deliveries of `StockReserved`, up to two cancellations or two
//! deliveries of `OrderConfirmed`, an authorization that expires, refunds that are requested twice each, two replicas
//! that ask the gateway, answers that are lost, crashes, calls that reach the gateway long after their callers have
//! given up, a gateway that forgets its keys, and a refund that fails after the gateway has accepted it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared_events::{CancelReason, EventBody, Money, RefundDetails, RefundFailure, RefundId};
use uuid::Uuid;

use super::{
    Answer, Payment, PaymentId, Refund, RefundState, State, Step, Transition, on_answer, on_event, refund_reversed,
    tests::{at, event},
};

const CANCEL: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };

/// How the gateway's reference of a captured payment ends.
const CAPTURED: &str = "-captured";

fn captured(reference: &str) -> String {
    format!("{reference}{CAPTURED}")
}

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

    /// Returns the state after each possible step.
    fn next(&self) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            step(&mut world);
            worlds.push(world);
        };
        if self.deliveries_left > 0 {
            step(&|world| {
                world.deliveries_left -= 1;
                world.event(EventBody::StockReserved);
            });
        }
        if self.cancels_left > 0 && !self.is_confirmed {
            step(&|world| {
                world.cancels_left -= 1;
                world.confirmations_left = 0;
                world.event(CANCEL);
            });
        }
        if self.confirmations_left > 0 && self.authorized_published {
            step(&|world| {
                world.confirmations_left -= 1;
                world.is_confirmed = true;
                world.event(EventBody::OrderConfirmed);
            });
        }
        // Order refunds only what it has confirmed; its `OrderConfirmed` may still be under way.
        let may_be_refunded = self.authorized_published && self.cancels_left == 0 && !self.voided_published;
        for (&id, _) in self.refunds_left.iter().filter(|(_, left)| may_be_refunded && **left > 0) {
            step(&|world| {
                world.refunds_left.entry(id).and_modify(|left| *left -= 1);
                world.event(EventBody::RefundRequested { refund: refund(id) });
            });
        }
        for &id in self.refunded.keys().filter(|_| self.reversals_left > 0) {
            step(&|world| {
                world.reversals_left -= 1;
                world.refunded.remove(&id);
                world.reversed.insert(id);
                world.webhooks.insert(id);
            });
        }
        for &id in &self.webhooks {
            step(&|world| world.webhook(id));
            step(&|world| {
                world.webhooks.remove(&id);
                world.webhook(id);
            });
        }
        if self.may_expire && self.is_charged() {
            step(&|world| {
                world.may_expire = false;
                let all = world.gateway.values_mut();
                all.filter(|state| **state == AtGateway::Charged).for_each(|state| *state = AtGateway::Expired);
            });
        }
        if self.may_forget && self.key.is_some() {
            step(&|world| {
                world.may_forget = false;
                world.key = None;
            });
        }
        if let Some(call) = &self.late {
            step(&|world| {
                world.late = None;
                world.act(call);
            });
        }
        for (index, asker) in self.askers.iter().enumerate() {
            match asker {
                Asker::Idle => {
                    if let Some(call) = self.call() {
                        step(&|world| world.askers[index] = Asker::InFlight(call.clone()));
                    }
                }
                Asker::InFlight(call) => {
                    step(&|world| world.askers[index] = Asker::Answered(world.act(call)));
                    if self.losses_left > 0 && self.late.is_none() {
                        step(&|world| {
                            world.losses_left -= 1;
                            world.askers[index] = Asker::Idle;
                            world.late = Some(call.clone());
                        });
                    }
                }
                Asker::Answered(answer) => {
                    step(&|world| {
                        world.askers[index] = Asker::Idle;
                        let Some(row) = &world.row else { return };
                        let transition = on_answer(row, answer, at(0));
                        world.apply(transition);
                    });
                    if self.losses_left > 0 {
                        step(&|world| {
                            world.losses_left -= 1;
                            world.askers[index] = Asker::Idle;
                        });
                    }
                }
            }
        }
        worlds
    }

    /// Returns the call that is to be made.
    fn call(&self) -> Option<Call> {
        let row = self.row.as_ref()?;
        Some((row.step()?, row.reference.clone()))
    }

    fn event(&mut self, body: EventBody) {
        let transition = on_event(self.row.as_ref(), &event(body), PaymentId(1), at(0)).unwrap();
        self.apply(transition);
    }

    /// A webhook says that this refund has failed after it was accepted.
    fn webhook(&mut self, id: RefundId) {
        let transition = refund_reversed(self.row.as_ref().unwrap(), id, "failed", at(0));
        self.apply(transition);
    }

    /// A call reaches the gateway, which keeps what the port promises.
    fn act(&mut self, (step, reference): &Call) -> Answer {
        let Some(reference) = reference else {
            let next = format!("ref-{}", self.gateway.len());
            let reference = self.key.get_or_insert(next).clone();
            self.gateway.entry(reference.clone()).or_insert(AtGateway::Prepared);
            return Answer::Prepared { reference };
        };
        // As with some providers, the capture has a reference of its own, which alone is good for refunds.
        let (authorization, is_captured) = match reference.strip_suffix(CAPTURED) {
            Some(authorization) => (authorization, true),
            None => (reference.as_str(), false),
        };
        assert_eq!(is_captured, matches!(step, Step::Refund(_)), "{step:?} by {reference}");
        let state = self.gateway.get_mut(authorization).unwrap();
        match (step, &state) {
            (Step::Authorize, AtGateway::Prepared) if self.accepts => {
                *state = AtGateway::Charged;
                self.charges += 1;
            }
            (Step::Authorize, AtGateway::Prepared) => *state = AtGateway::Declined,
            (Step::Capture, AtGateway::Charged) => *state = AtGateway::Captured,
            (Step::Void, AtGateway::Prepared | AtGateway::Charged) => *state = AtGateway::Voided,
            // A refund is known by its key for ever, because the adapter looks for it in the books.
            (Step::Refund(id), AtGateway::Captured) if !self.reversed.contains(id) => {
                self.refunded.insert(*id, refund(*id).amount);
            }
            _ => {}
        }
        match (step, state) {
            (Step::Void, AtGateway::Captured) => panic!("what is captured is never voided"),
            (Step::Void, _) => Answer::Voided,
            (Step::Capture, AtGateway::Captured) => Answer::Captured { reference: captured(reference) },
            (Step::Capture, _) => Answer::CaptureFailed { reason: "expired".to_owned() },
            (Step::Refund(id), _) if self.reversed.contains(id) => {
                let reason = RefundFailure::Declined;
                Answer::RefundRefused { refund_id: *id, reason, detail: "it has failed".to_owned() }
            }
            (Step::Refund(id), _) => Answer::Refunded(*id),
            // The books have it as authorized, whatever came later.
            (_, AtGateway::Charged | AtGateway::Captured) => Answer::Authorized,
            _ => Answer::Declined { reason: "declined".to_owned() },
        }
    }

    fn apply(&mut self, Transition { payment, events }: Transition) {
        self.row = payment.or_else(|| self.row.take());
        events.iter().for_each(|event| self.published(event));
    }

    fn published(&mut self, event: &EventBody) {
        match event {
            EventBody::PaymentAuthorized => {
                let expired = self.gateway.values().any(|state| *state == AtGateway::Expired);
                assert!((self.is_charged() || expired) && !self.voided_published, "{self:?}");
                self.authorized_published = true;
            }
            EventBody::PaymentFailed { .. } => assert!(!self.is_charged(), "{self:?}"),
            EventBody::PaymentVoided => self.voided_published = true,
            EventBody::PaymentCaptured => self.capture_is(true),
            EventBody::PaymentCaptureFailed => self.capture_is(false),
            EventBody::PaymentRefunded { refund } => self.refund_is(refund.refund_id, true),
            EventBody::PaymentRefundFailed { refund, .. } => self.refund_is(refund.refund_id, false),
            _ => {}
        }
    }

    /// What is published about a refund is true, and never changes, unless it fails after it was accepted.
    fn refund_is(&mut self, id: RefundId, done: bool) {
        let (is_done, is_reversed) = (self.refunded.contains_key(&id), self.reversed.contains(&id));
        assert!(is_done == done || is_reversed, "{self:?}");
        let before = self.refunds_published.insert(id, done);
        assert!(before.is_none_or(|before| before == done) || is_reversed, "{self:?}");
    }

    /// What is published about the capture is true, and never changes.
    fn capture_is(&mut self, taken: bool) {
        assert!(self.is_captured() == taken && self.is_confirmed, "{self:?}");
        assert!(self.capture_published.is_none_or(|before| before == taken), "{self:?}");
        self.capture_published = Some(taken);
    }

    /// Returns of each refund, oldest first, whether it has gone back. The row, the gateway's books and what was
    /// published agree on that.
    fn settled_refunds(&self) -> Vec<bool> {
        let row = self.row.as_ref().unwrap();
        let settled = |one: &Refund| {
            let (id, done) = (one.details.refund_id, one.state == RefundState::Refunded);
            let agree = [self.refunded.contains_key(&id), self.refunds_published[&id]];
            assert_eq!(agree, [done, done], "{self:?}");
            if let RefundState::Failed { reason, .. } = one.state {
                let is_refused = reason == RefundFailure::ExceedsCaptured || self.reversed.contains(&id);
                assert!(is_refused || !self.is_captured(), "{self:?}");
            }
            done
        };
        row.refunds.iter().map(settled).collect()
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
            let sum: i64 = world.refunded.values().map(|amount| amount.minor_units()).sum();
            assert!(sum <= if world.is_captured() { 20_000 } else { 0 }, "{world:?}");
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
        let sum: i64 = world.refunded.values().map(|amount| amount.minor_units()).sum();
        assert!(sum <= if world.is_captured() { 20_000 } else { 0 }, "{world:?}");
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
