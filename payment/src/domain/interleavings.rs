//! Every interleaving of the steps of one saga: two deliveries of `StockReserved`, up to two cancellations or two
//! deliveries of `OrderConfirmed`, an authorization that expires, two replicas that ask the gateway, answers that are
//! lost, crashes, calls that reach the gateway long after their callers have given up, and a gateway that forgets its
//! keys.

use std::collections::{BTreeMap, HashSet};

use shared_events::{CancelReason, EventBody};

use super::{
    Answer, Payment, PaymentId, State, Step, Transition, on_answer, on_event,
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
}

/// What may happen in a search.
#[derive(Debug, Clone, Copy)]
struct Chances {
    cancels: u8,
    confirmations: u8,
    accepts: bool,
    expires: bool,
}

impl World {
    fn new(Chances { cancels, confirmations, accepts, expires }: Chances) -> Self {
        Self {
            row: None,
            deliveries_left: 2,
            cancels_left: cancels,
            confirmations_left: confirmations,
            is_confirmed: false,
            may_expire: expires,
            losses_left: 2,
            may_forget: true,
            askers: [Asker::Idle, Asker::Idle],
            late: None,
            key: None,
            gateway: BTreeMap::new(),
            accepts,
            charges: 0,
            authorized_published: false,
            voided_published: false,
            capture_published: None,
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

    /// A call reaches the gateway, which keeps what the port promises.
    fn act(&mut self, (step, reference): &Call) -> Answer {
        let Some(reference) = reference else {
            let next = format!("ref-{}", self.gateway.len());
            let reference = self.key.get_or_insert(next).clone();
            self.gateway.entry(reference.clone()).or_insert(AtGateway::Prepared);
            return Answer::Prepared { reference };
        };
        let state = self.gateway.get_mut(reference).unwrap();
        match (step, &state) {
            (Step::Authorize, AtGateway::Prepared) if self.accepts => {
                *state = AtGateway::Charged;
                self.charges += 1;
            }
            (Step::Authorize, AtGateway::Prepared) => *state = AtGateway::Declined,
            (Step::Capture, AtGateway::Charged) => *state = AtGateway::Captured,
            (Step::Void, AtGateway::Prepared | AtGateway::Charged) => *state = AtGateway::Voided,
            _ => {}
        }
        match (step, state) {
            (Step::Void, AtGateway::Captured) => panic!("what is captured is never voided"),
            (Step::Void, _) => Answer::Voided,
            (Step::Capture, AtGateway::Captured) => Answer::Captured,
            (Step::Capture, _) => Answer::CaptureFailed { reason: "expired".to_owned() },
            // The books have it as authorized, whatever came later.
            (_, AtGateway::Charged | AtGateway::Captured) => Answer::Authorized,
            _ => Answer::Declined { reason: "declined".to_owned() },
        }
    }

    fn apply(&mut self, Transition { payment, event }: Transition) {
        self.row = payment.or_else(|| self.row.take());
        match event {
            Some(EventBody::PaymentAuthorized) => {
                let expired = self.gateway.values().any(|state| *state == AtGateway::Expired);
                assert!((self.is_charged() || expired) && !self.voided_published, "{self:?}");
                self.authorized_published = true;
            }
            Some(EventBody::PaymentFailed { .. }) => assert!(!self.is_charged(), "{self:?}"),
            Some(EventBody::PaymentVoided) => self.voided_published = true,
            Some(EventBody::PaymentCaptured) => self.capture_is(true),
            Some(EventBody::PaymentCaptureFailed) => self.capture_is(false),
            _ => {}
        }
    }

    /// What is published about the capture is true, and never changes.
    fn capture_is(&mut self, taken: bool) {
        assert!(self.is_captured() == taken && self.is_confirmed, "{self:?}");
        assert!(self.capture_published.is_none_or(|before| before == taken), "{self:?}");
        self.capture_published = Some(taken);
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
        let nothing_left = self.deliveries_left == 0 && !can_be_cancelled && !can_be_confirmed && self.late.is_none();
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
        let all = reachable(Chances { cancels, confirmations: 0, accepts, expires: false });
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
        let all = reachable(Chances { cancels, confirmations: 2, accepts: true, expires });
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
            assert_eq!(row.reference.as_ref(), Some(reference), "a charge that no row knows: {world:?}");
        }
        // What is not at rest goes on: the row says what is to be asked.
        let waits = matches!(world.state(), Some(State::Requested | State::Capturing | State::Voiding));
        assert_eq!(waits, world.call().is_some(), "{world:?}");
        let has_expired = world.gateway.values().any(|state| *state == AtGateway::Expired);
        if world.is_quiet() && !has_expired {
            assert_eq!(world.is_charged(), world.state() == Some(&State::Authorized), "{world:?}");
        }
    }
}
