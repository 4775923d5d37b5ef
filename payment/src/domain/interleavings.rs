//! Every interleaving of the steps of one saga: two deliveries of `StockReserved`, up to two cancellations, two
//! replicas that ask the gateway, answers that are lost, crashes, calls that reach the gateway long after their callers
//! have given up, and a gateway that forgets its keys.

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
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Option<Payment>,
    deliveries_left: u8,
    cancels_left: u8,
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
    voided_published: bool,
}

impl World {
    fn new(cancels_left: u8, accepts: bool) -> Self {
        Self {
            row: None,
            deliveries_left: 2,
            cancels_left,
            losses_left: 2,
            may_forget: true,
            askers: [Asker::Idle, Asker::Idle],
            late: None,
            key: None,
            gateway: BTreeMap::new(),
            accepts,
            charges: 0,
            voided_published: false,
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
        if self.cancels_left > 0 {
            step(&|world| {
                world.cancels_left -= 1;
                world.event(CANCEL);
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
            (Step::Void, AtGateway::Prepared | AtGateway::Charged) => *state = AtGateway::Voided,
            _ => {}
        }
        match (step, state) {
            (Step::Void, _) => Answer::Voided,
            (_, AtGateway::Charged) => Answer::Authorized,
            _ => Answer::Declined { reason: "declined".to_owned() },
        }
    }

    fn apply(&mut self, Transition { payment, event }: Transition) {
        self.row = payment.or_else(|| self.row.take());
        match event {
            Some(EventBody::PaymentAuthorized) => assert!(self.is_charged() && !self.voided_published, "{self:?}"),
            Some(EventBody::PaymentFailed { .. }) => assert!(!self.is_charged(), "{self:?}"),
            Some(EventBody::PaymentVoided) => self.voided_published = true,
            _ => {}
        }
    }

    fn is_charged(&self) -> bool {
        self.gateway.values().any(|state| *state == AtGateway::Charged)
    }

    fn state(&self) -> Option<&State> {
        self.row.as_ref().map(|payment| &payment.state)
    }

    /// Returns whether nothing is in progress, and nothing is left to do.
    fn is_quiet(&self) -> bool {
        let nothing_left = self.deliveries_left == 0 && self.cancels_left == 0 && self.late.is_none();
        nothing_left && self.askers.iter().all(|asker| *asker == Asker::Idle) && self.call().is_none()
    }
}

/// Returns all reachable states.
fn reachable(cancels: u8, accepts: bool) -> HashSet<World> {
    let mut seen = HashSet::from([World::new(cancels, accepts)]);
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
        let all = reachable(cancels, accepts);
        assert!(all.iter().any(World::is_quiet));
        for world in &all {
            assert!(world.charges <= 1, "charged twice: {world:?}");
            assert!(!(world.is_charged() && world.voided_published), "{world:?}");
            let charged = world.gateway.iter().find(|(_, state)| **state == AtGateway::Charged);
            if let (Some((reference, _)), Some(row)) = (charged, &world.row) {
                assert_eq!(row.reference.as_ref(), Some(reference), "a charge that no row knows: {world:?}");
            }
            // What is not at rest goes on: the row says what is to be asked.
            let waits = matches!(world.state(), Some(State::Requested | State::Voiding));
            assert_eq!(waits, world.call().is_some(), "{world:?}");
        }
        for world in all.iter().filter(|world| world.is_quiet()) {
            assert_eq!(world.is_charged(), world.state() == Some(&State::Authorized), "{world:?}");
            assert_eq!(world.is_charged(), cancels == 0 && accepts, "{world:?}");
            assert_eq!(world.voided_published, cancels > 0, "{world:?}");
        }
    }
}
